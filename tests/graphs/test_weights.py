"""Mixing weights: rows, columns and support, and the fastest ones against known optima."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import MissingExtraError, ParameterError
from robustfl.federation.graphs import Complete, ErdosRenyi, Exponential, GraphFamily, Ring, Star, TwoCliques
from robustfl.graphs import fastest
from robustfl.graphs.fastest import MOST_PEERS
from robustfl.graphs.graph import Graph
from robustfl.graphs.spectrum import spectral_gap
from robustfl.graphs.weights import Weighting, mixing_weights


def drawn(family: GraphFamily, n: int, seed: int = 0) -> Graph:
    return family.draw(n, np.random.default_rng(seed))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 20),
    weighting=st.sampled_from(["metropolis", "uniform", "max_degree"]),
    spare=st.integers(0, 4),
)
def test_weights_are_shares_on_the_edges(seed: int, n: int, weighting: Weighting, spare: int) -> None:
    graph = drawn(ErdosRenyi(p=0.6), n, seed)
    found = mixing_weights(graph, weighting, spare=spare)
    dense = found.toarray()
    assert found.nnz == 2 * len(graph.edges) + n, "the own weight is always stored"
    assert (dense >= -1e-15).all()
    np.testing.assert_allclose(dense.sum(axis=1), 1.0, atol=1e-12)
    assert ((dense > 0) <= (graph.adjacency() | np.eye(n, dtype=bool))).all()
    assert (dense[graph.adjacency()] > 0).all()
    if weighting != "uniform":
        np.testing.assert_allclose(dense, dense.T)
    assert (np.diag(dense) >= (1 + spare) / (n + spare) - 1e-12).all()


def test_the_formulas_by_hand() -> None:
    star = drawn(Star(), 4)  # degrees 3, 1, 1, 1
    assert mixing_weights(star).toarray()[0] == pytest.approx([0.25, 0.25, 0.25, 0.25])
    assert mixing_weights(star, spare=2).toarray()[1] == pytest.approx([1 / 6, 5 / 6, 0, 0])
    assert mixing_weights(star, "max_degree").toarray()[1] == pytest.approx([0.25, 0.75, 0, 0])
    assert mixing_weights(star, "uniform").toarray()[1] == pytest.approx([0.5, 0.5, 0, 0])


def test_directed_weights_keep_the_mean_where_everybody_hears_equally_many() -> None:
    found = mixing_weights(drawn(Exponential(), 10), "uniform").toarray()
    np.testing.assert_allclose(found.sum(axis=0), 1.0)
    lopsided = Graph(n=3, edges=[(0, 1), (1, 2), (2, 0), (0, 2)], directed=True)
    with pytest.raises(ParameterError, match=r"who hears is heard.* Use uniform"):
        mixing_weights(lopsided)
    with pytest.raises(ParameterError, match="undirected"):
        mixing_weights(lopsided, "fastest")


def ring_gap(n: int) -> float:
    """The best equal weight of an even ring balances its second and its last eigenvalue."""
    cosine = np.cos(2 * np.pi / n)
    return float(2 * (1 - cosine) / (3 - cosine))


@pytest.mark.parametrize(
    ("family", "n", "gap"),
    [
        (Complete(), 1, 1.0),
        (Complete(), 2, 1.0),
        (Star(), 10, 1 / 9),
        (Ring(), 4, 2 / 3),
        (Ring(), 12, ring_gap(12)),
        (Complete(), 7, 1.0),
    ],
    ids=lambda value: value.name if isinstance(value, GraphFamily) else str(value),
)
def test_the_fastest_weights_of_known_graphs(family: GraphFamily, n: int, gap: float) -> None:
    assert spectral_gap(mixing_weights(drawn(family, n), "fastest")) == pytest.approx(gap, abs=1e-5)


@pytest.mark.parametrize(
    ("family", "n"),
    [(TwoCliques(), 12), (ErdosRenyi(p=0.3), 16), (Ring(), 9)],
    ids=["two_cliques", "erdos_renyi", "ring"],
)
def test_the_fastest_weights_are_doubly_stochastic_and_faster(family: GraphFamily, n: int) -> None:
    graph = drawn(family, n)
    found = mixing_weights(graph, "fastest")
    dense = found.toarray()
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    np.testing.assert_allclose(dense.sum(axis=0), 1.0, atol=1e-12)
    assert (dense >= -1e-12).all()
    assert ((np.abs(dense) > 0) <= (graph.adjacency() | np.eye(n, dtype=bool))).all()
    others: list[Weighting] = ["metropolis", "max_degree"]
    assert spectral_gap(found) >= max(spectral_gap(mixing_weights(graph, other)) for other in others) - 1e-6


def test_near_the_optimum_where_the_network_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = drawn(ErdosRenyi(p=0.5), 14)
    best = spectral_gap(mixing_weights(graph, "fastest"))
    monkeypatch.setattr(fastest, "MOST_EXACT", 10)
    assert spectral_gap(mixing_weights(graph, "fastest")) == pytest.approx(best, abs=1e-3)


def test_a_solver_that_is_stopped_never_makes_mixing_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = drawn(TwoCliques(), 12)
    monkeypatch.setattr(fastest, "MOST_EXACT", 10)
    monkeypatch.setattr(fastest, "MOST_STEPS", 1)
    assert spectral_gap(mixing_weights(graph, "fastest")) >= spectral_gap(mixing_weights(graph)) > 0


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (Graph(n=3, edges=[(0, 1)]), {"weighting": "fastest"}, "need a connected graph"),
        (drawn(Ring(), MOST_PEERS + 1), {"weighting": "fastest"}, "at most 100 peers. Found 101. Use metropolis"),
        (drawn(Ring(), 4), {"weighting": "fastest", "spare": 1}, "no spare places. Found spare=1"),
        (drawn(Ring(), 4), {"spare": -1}, "spare >= 0. Found spare=-1"),
        (drawn(Ring(), 4), {"weighting": "equal"}, "`weighting` should be one of 'metropolis', .* weighting='equal'"),
    ],
    ids=["parts", "large", "spare", "negative", "unknown"],
)
def test_what_has_no_weights_is_an_error(graph: Graph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        mixing_weights(graph, **options)


def test_without_a_solver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cvxpy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'robustfl\[privacy\]', or use metropolis"):
        mixing_weights(drawn(Ring(), 4), "fastest")
