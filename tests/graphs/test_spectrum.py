"""Connectivity, the Fiedler vector and the spectral gap, against closed forms and published values."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.errors import ParameterError
from robustfl.federation.graphs import (
    Chain,
    Complete,
    Exponential,
    GraphFamily,
    Hypercube,
    RandomGeometric,
    Regular,
    Ring,
    Star,
    Torus,
    TwoCastle,
    TwoCliques,
    TwoWorlds,
    WattsStrogatz,
)
from robustfl.graphs import spectrum
from robustfl.graphs.graph import Graph
from robustfl.graphs.spectrum import connectivity, fiedler, modes, spectral_gap
from robustfl.graphs.weights import mixing_weights


def drawn(family: GraphFamily, n: int, seed: int = 0) -> Graph:
    return family.draw(n, np.random.default_rng(seed))


GAPS = [
    *((Ring(), n, gap) for n, gap in ((8, 0.195262), (10, 0.127322), (16, 0.050747), (20, 0.032629), (25, 0.020945))),
    *((Ring(), n, gap) for n, gap in ((32, 0.012810), (64, 0.003210), (100, 0.001316))),
    *((Chain(), n, gap) for n, gap in ((10, 0.032629), (16, 0.012810))),
    *((Star(), n, gap) for n, gap in ((10, 0.1), (16, 0.0625))),
    *((Torus(), n, gap) for n, gap in ((16, 0.4), (20, 0.276393), (25, 0.276393), (64, 0.117157), (100, 0.076393))),
    *((Hypercube(), n, gap) for n, gap in ((8, 0.5), (16, 0.4), (32, 0.333333))),
    (WattsStrogatz(degree=4, rewire=0.0), 20, 0.095971),
    (WattsStrogatz(degree=4, rewire=0.0), 100, 0.003943),
    (WattsStrogatz(degree=6, rewire=0.0), 16, 0.281809),
    *((TwoCliques(), n, gap) for n, gap in ((10, 0.049740), (16, 0.022685))),
    (TwoCastle(), 10, 0.888889),
    *((Exponential(), n, gap) for n, gap in ((8, 0.5), (10, 0.4), (16, 0.4), (32, 0.333333))),
    (Complete(), 12, 1.0),
]


@pytest.mark.parametrize(("family", "n", "gap"), GAPS, ids=[f"{family.name}-{n}" for family, n, _ in GAPS])
def test_the_gap_of_metropolis_weights(family: GraphFamily, n: int, gap: float) -> None:
    assert spectral_gap(mixing_weights(drawn(family, n))) == pytest.approx(gap, abs=1e-6)


@pytest.mark.parametrize(
    ("family", "n", "mu2"),
    [
        (Complete(), 9, 9.0),
        (Star(), 9, 1.0),
        (Ring(), 12, 2 - 2 * np.cos(2 * np.pi / 12)),
        (Chain(), 12, 2 - 2 * np.cos(np.pi / 12)),
        (Hypercube(), 16, 2.0),
        (TwoWorlds(q=8), 26, 16.0),
        (TwoWorlds(q=3), 20, 6.0),
    ],
    ids=lambda value: value.name if isinstance(value, GraphFamily) else str(value),
)
def test_the_connectivity_of_known_graphs(family: GraphFamily, n: int, mu2: float) -> None:
    assert connectivity(drawn(family, n)) == pytest.approx(mu2, abs=1e-9)


def test_small_and_broken_graphs() -> None:
    alone = Graph(n=1, edges=[])
    assert connectivity(alone) == 0.0
    assert spectral_gap(mixing_weights(alone)) == 1.0
    assert connectivity(Graph(n=2, edges=[(0, 1)])) == pytest.approx(2.0)
    assert connectivity(Graph(n=4, edges=[(0, 1), (2, 3)])) == 0.0
    with pytest.raises(ParameterError, match="A graph of 1 peers has 0 eigenvectors"):
        fiedler(alone)
    with pytest.raises(ParameterError, match="need a connected one"):
        fiedler(Graph(n=3, edges=[(0, 1)]))


@pytest.mark.parametrize(
    "family", [Ring(), Star(), Complete(), Torus(), WattsStrogatz(), RandomGeometric()], ids=lambda family: family.name
)
def test_modes_are_eigenvectors_with_a_fixed_sign(family: GraphFamily) -> None:
    graph = drawn(family, 20)
    laplacian = np.diag(graph.degree) - graph.adjacency().astype(float)
    vectors = modes(graph, 3)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(vectors.sum(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(laplacian @ vectors[:, 0], connectivity(graph) * vectors[:, 0], atol=1e-7)
    for vector in vectors.T:
        value = vector @ laplacian @ vector
        np.testing.assert_allclose(laplacian @ vector, value * vector, atol=1e-6)
        assert vector[np.abs(vector) > 1e-6][0] > 0


def test_a_vector_of_many_does_not_depend_on_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring has two vectors for mu2; a rotation of both is as good an answer of a solver."""
    graph = drawn(Ring(), 15)
    wanted = modes(graph, 2)
    values, vectors = spectrum._lowest(graph, 2)
    turned = vectors.copy()
    turned[:, 0], turned[:, 1] = (
        0.6 * vectors[:, 0] + 0.8 * vectors[:, 1],
        0.8 * vectors[:, 0] - 0.6 * vectors[:, 1],
    )
    monkeypatch.setattr(spectrum, "_lowest", lambda graph, count: (values, turned))
    np.testing.assert_allclose(modes(graph, 2), wanted, atol=1e-9)


@pytest.mark.parametrize(
    "family", [Regular(degree=6), RandomGeometric(radius=0.25), Chain()], ids=lambda family: family.name
)
def test_iteration_agrees_with_the_whole_spectrum(family: GraphFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = drawn(family, 120)
    mu2, vector = connectivity(graph), fiedler(graph)
    gap = spectral_gap(mixing_weights(graph))
    monkeypatch.setattr(spectrum, "DENSE", 10)
    assert connectivity(graph) == pytest.approx(mu2, abs=1e-6)
    np.testing.assert_allclose(fiedler(graph), vector, atol=1e-4)
    assert spectral_gap(mixing_weights(graph)) == pytest.approx(gap, abs=1e-6)
