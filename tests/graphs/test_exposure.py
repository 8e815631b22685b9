"""What malicious peers reach, see and cut, and betweenness, against definitions that are written out."""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.federation.graphs import Complete, ErdosRenyi, Exponential, Regular, Ring, WattsStrogatz
from robustfl.graphs import centrality
from robustfl.graphs.centrality import betweenness
from robustfl.graphs.exposure import exposure, malicious_neighbours, observable
from robustfl.graphs.graph import Graph

CHAIN = Graph(n=5, edges=[(0, 1), (1, 2), (2, 3), (3, 4)])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 14), data=st.data())
def test_facts_are_those_of_the_definitions(seed: int, n: int, data: st.DataObject) -> None:
    graph = ErdosRenyi(p=0.5).draw(n, np.random.default_rng(seed))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))
    near = [set(graph.neighbours(peer).tolist()) for peer in range(n)]
    honest = [peer for peer in range(n) if peer not in bad]
    counts = [len(near[peer] & bad) for peer in range(n)]
    seen = [peer for peer in honest if counts[peer] and all(counts[other] for other in near[peer] - bad)]
    facts = exposure(graph, sorted(bad))
    assert malicious_neighbours(graph, sorted(bad)).tolist() == counts
    assert np.flatnonzero(observable(graph, sorted(bad))).tolist() == seen
    assert facts.local_bound == max(counts[peer] for peer in honest)
    assert facts.attack_edges == sum(counts[peer] for peer in honest)
    assert facts.touched == pytest.approx(sum(counts[peer] > 0 for peer in honest) / len(honest))
    assert facts.observable == pytest.approx(len(seen) / len(honest))
    rest = networkx.Graph(graph.edges.tolist()).subgraph(honest)
    parts = list(networkx.connected_components(rest))
    assert (facts.honest, facts.parts, facts.largest_part) == (len(honest), len(parts), max(map(len, parts)))
    lonely = [peer for peer in honest if not near[peer] - bad]
    assert facts.lonely == (len(lonely) if len(honest) > 1 else 0)
    assert facts.mu2 == pytest.approx(networkx.algebraic_connectivity(rest) if len(honest) > 1 else 0.0, abs=1e-6)


def test_a_cut_vertex_parts_the_honest_network() -> None:
    facts = exposure(CHAIN, [1])
    assert (facts.parts, facts.largest_part, facts.lonely, facts.mu2) == (2, 3, 1, 0.0)
    nobody = exposure(CHAIN, [])
    assert (nobody.parts, nobody.local_bound, nobody.touched, nobody.observable) == (1, 0, 0.0, 0.0)


def test_who_is_heard_is_seen_also_where_nobody_answers() -> None:
    """In a directed graph, a malicious peer learns from whom it hears, and does not harm them."""
    graph = Exponential().draw(4, np.random.default_rng(0))  # peer i hears i - 1 and i - 2
    assert malicious_neighbours(graph, [0]).tolist() == [0, 1, 1, 0]
    assert observable(graph, [0]).tolist() == [False, False, False, False]
    assert observable(graph, [0, 1]).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("family", "n", "share", "seen", "touched"),
    [
        (Regular(degree=8), 100, 0.1, 0.01, 0.59),
        (Regular(degree=8), 100, 0.2, 0.23, 0.85),
        (Regular(degree=8), 100, 0.3, 0.63, 0.95),
        (Regular(degree=4), 100, 0.2, 0.10, 0.60),
        (Ring(), 100, 0.2, 0.11, 0.37),
        (Complete(), 30, 0.04, 1.0, 1.0),
    ],
    ids=["regular-10%", "regular-20%", "regular-30%", "sparse", "ring", "complete"],
)
def test_measured_shares_of_observable_peers(family: Any, n: int, share: float, seen: float, touched: float) -> None:
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        graph = family.draw(n, rng)
        facts = exposure(graph, rng.choice(n, size=round(share * n), replace=False))
        found.append((facts.observable, facts.touched))
    assert np.mean(found, axis=0) == pytest.approx([seen, touched], abs=0.04)


@pytest.mark.parametrize(
    ("malicious", "message"),
    [
        ([5], "different peers of 0 to 4"),
        ([-1], r"Found \[-1\]"),
        ([1, 1], r"Found \[1 1\]"),
        ([0.5], r"Found \[0.5\]"),
        ([[0]], "different peers"),
        ([0, 1, 2, 3, 4], "nobody left of 5"),
    ],
)
def test_who_is_no_peer_is_an_error(malicious: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        exposure(CHAIN, malicious)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 16))
def test_betweenness_is_that_of_another_library(seed: int, n: int) -> None:
    graph = ErdosRenyi(p=0.4).draw(n, np.random.default_rng(seed))
    wanted = networkx.betweenness_centrality(networkx.Graph(graph.edges.tolist()), normalized=False)
    np.testing.assert_allclose(betweenness(graph), [2 * wanted[peer] for peer in range(n)], atol=1e-9)


def test_betweenness_follows_directions() -> None:
    circle = Graph(n=4, edges=[(0, 1), (1, 2), (2, 3), (3, 0)], directed=True)
    assert betweenness(circle).tolist() == [3.0, 3.0, 3.0, 3.0]


def test_sampled_sources_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = WattsStrogatz(degree=4).draw(200, np.random.default_rng(0))
    exact = betweenness(graph)
    monkeypatch.setattr(centrality, "MOST_EXACT", 100)
    monkeypatch.setattr(centrality, "SAMPLED", 100)
    sampled = betweenness(graph, np.random.default_rng(1))
    assert sampled.sum() == pytest.approx(exact.sum(), rel=0.05)
    assert np.corrcoef(sampled, exact)[0, 1] > 0.8
    assert (sampled == betweenness(graph, np.random.default_rng(1))).all()
