"""Where peers are drawn: inside the square, apart from each other, and on their side of the weakest cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from robustfl.federation.graphs import (
    Complete,
    GraphFamily,
    RandomGeometric,
    Regular,
    Ring,
    Star,
    Torus,
    TwoCliques,
    WattsStrogatz,
)
from robustfl.graphs.graph import Graph
from robustfl.graphs.layout import layout

FAMILIES = [Ring(), Star(), Complete(), Torus(), Regular(degree=4), WattsStrogatz(), RandomGeometric(), TwoCliques()]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("n", [1, 2, 36])
def test_everybody_is_inside_at_a_place_of_their_own(family: GraphFamily, n: int) -> None:
    graph = family.draw(n, np.random.default_rng(0))
    found = layout(graph)
    assert found.shape == (n, 2)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert n == 1 or pdist(found).min() > 0.005
    np.testing.assert_array_equal(found, layout(Graph(n=n, edges=graph.edges, positions=graph.positions)))


def test_the_sides_of_the_weakest_cut_are_left_and_right() -> None:
    found = layout(TwoCliques().draw(20, np.random.default_rng(0)))
    assert found[:10, 0].min() > found[10:, 0].max(), "peer 0 is on the right"


def test_a_ring_is_drawn_as_a_ring() -> None:
    found = layout(Ring().draw(12, np.random.default_rng(0))) - 0.5
    np.testing.assert_allclose(np.hypot(*found.T), 0.5, atol=0.05)


def test_the_hub_of_a_star_is_in_the_middle() -> None:
    assert layout(Star().draw(12, np.random.default_rng(0)))[0].tolist() == [0.5, 0.5]


def test_own_positions_keep_their_shape() -> None:
    places = np.array([[2.0, 0.0], [4.0, 0.0], [4.0, 1.0]])
    graph = Graph(n=3, edges=[(0, 1), (1, 2)], positions=places)
    np.testing.assert_allclose(layout(graph), [[0, 0.25], [1, 0.25], [1, 0.75]])
    assert layout(Graph(n=2, edges=[(0, 1)], positions=[[1, 1], [1, 1]])).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_graph_in_parts_is_drawn_as_a_circle() -> None:
    found = layout(Graph(n=6, edges=[(0, 1), (2, 3)])) - 0.5
    np.testing.assert_allclose(np.hypot(*found.T), 0.5)
