"""Visits of random walks: computed exactly, estimated by walking, and counted path by path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.reputation import exact_visits, expected_visits, walked_visits

Matrix = NDArray[np.float64]


def graph(n: int, *edges: tuple[int, int, float]) -> Matrix:
    found = np.zeros((n, n))
    for rater, rated, weight in edges:
        found[rater, rated] = weight
    return found


def by_paths(edges: Matrix, stop: float, longest: int) -> tuple[Matrix, Matrix]:
    """Hits and bottlenecks from node 0, from every path of at most `longest` steps, one by one."""
    n = len(edges)
    hits, through = np.zeros(n), np.zeros((n, n))  # through[u, v]: u before the first visit of v

    def follow(path: list[int], chance: float) -> None:
        last = path[-1]
        if last not in path[:-1]:
            hits[last] += chance
            for other in {*path[:-1]} - {0, last}:
                through[other, last] += chance
        if len(path) <= longest and edges[last].sum() > 0:
            for after in np.flatnonzero(edges[last]):
                follow([*path, int(after)], chance * (1 - stop) * edges[last, after] / edges[last].sum())

    follow([0], 1.0)
    bottleneck = np.divide(through.max(axis=0), hits, out=np.zeros(n), where=hits > 0)
    bottleneck[0] = 0.0
    return hits, bottleneck


sparse = st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=16, max_size=16).map(
    lambda weights: np.array(weights).reshape(4, 4) * (1 - np.eye(4))
)


@settings(deadline=None, max_examples=60)
@given(edges=sparse)
def test_exact_visits_are_the_sum_over_all_paths(edges: Matrix) -> None:
    found = exact_visits(edges, 0, 0.8)
    hits, bottleneck = by_paths(edges, 0.8, longest=10)  # what is cut off weighs 0.2^10
    np.testing.assert_allclose(found.hits, hits, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.bottleneck, bottleneck, rtol=0, atol=1e-3)


@pytest.mark.parametrize("c", [0.85, 0.5, 0.95])
def test_a_chain_is_followed_by_powers(c: float) -> None:
    found = exact_visits(graph(4, (0, 1, 2.0), (1, 2, 0.1), (2, 3, 7.0)), 0, 1 - c)
    np.testing.assert_allclose(found.hits, [1, c, c**2, c**3])
    np.testing.assert_allclose(found.bottleneck, [0, 0, 1, 1])


def test_a_diamond_has_two_ways() -> None:
    found = exact_visits(graph(4, (0, 1, 1), (0, 2, 1), (1, 3, 1), (2, 3, 1)), 0, 0.15)
    np.testing.assert_allclose(found.hits, [1, 0.425, 0.425, 0.7225])
    np.testing.assert_allclose(found.bottleneck, [0, 0, 0, 0.5])


def test_ways_around_a_cycle_and_back_through_the_ego_count_once() -> None:
    found = exact_visits(graph(2, (0, 1, 1), (1, 0, 1)), 0, 0.15)
    np.testing.assert_allclose(found.hits, [1, 0.85])
    assert found.bottleneck.tolist() == [0, 0], "the ego is nobody's bottleneck"


@pytest.mark.parametrize("stop", [0.15, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_walks_estimate_the_exact_visits(stop: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, walks = 12, 40_000
    edges = rng.random((n, n)) * (rng.random((n, n)) < 0.35)
    edges[5] = 0.0
    exact, found = exact_visits(edges, 2, stop), walked_visits(edges, 2, stop, walks, rng)
    error = 5 * np.sqrt(exact.hits * (1 - exact.hits) / walks)
    assert (np.abs(found.hits - exact.hits) <= error + 1e-12).all()
    known = exact.hits > 0.02
    assert known.sum() > 4
    np.testing.assert_allclose(found.bottleneck[known], exact.bottleneck[known], atol=0.06)
    assert (found.hits[exact.hits == 0] == 0).all()


def test_walks_repeat_with_their_generator_and_are_many_at_a_time() -> None:
    edges = np.random.default_rng(0).random((1000, 1000))
    first, again = (walked_visits(edges, 0, 0.15, 10_000, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first.hits, again.hits)
    np.testing.assert_array_equal(first.bottleneck, again.bottleneck)
    assert first.hits.sum() - 1 == pytest.approx(0.85 / 0.15, rel=0.05), "as many steps as walks of that kind take"


def test_walks_never_leave_the_edges() -> None:
    n = 3000  # node numbers with few digits left for the chances
    edges = np.zeros((n, n))
    edges[n - 1, n - 2], edges[n - 2, n - 3], edges[n - 3, n - 1] = 1e-12, 1e12, 1.0
    found = walked_visits(edges, n - 1, 0.01, 500, np.random.default_rng(0))
    assert np.flatnonzero(found.hits).tolist() == [n - 3, n - 2, n - 1]


def test_isolated_nodes_and_walks_that_stop_at_once() -> None:
    for edges, stop in ((np.zeros((3, 3)), 0.15), (np.ones((3, 3)), 1.0)):
        for found in (exact_visits(edges, 1, stop), walked_visits(edges, 1, stop, 10, np.random.default_rng(0))):
            assert (found.hits.tolist(), found.bottleneck.tolist()) == ([0, 1, 0], [0, 0, 0])


@settings(deadline=None, max_examples=60)
@given(edges=sparse, stop=st.sampled_from([0.3, 0.8, 1.0]))
def test_expected_visits_are_the_sum_over_all_steps(edges: Matrix, stop: float) -> None:
    where, visits = np.eye(4)[0], np.zeros(4)
    for _ in range(120):  # what is cut off weighs 0.7^120
        visits += where
        totals = edges.sum(axis=1)
        where = (1 - stop) * np.array(
            [sum(where[i] * edges[i, j] / (totals[i] or 1) for i in range(4)) for j in range(4)]
        )
    found = expected_visits(edges, 0, stop)
    np.testing.assert_allclose(found, visits, rtol=1e-9, atol=0)
    hits = exact_visits(edges, 0, stop).hits
    assert (found >= hits - 1e-12).all(), "whom a walk meets it visits at least once"
    assert found[0] >= 1
    assert ((found == 0) == (hits == 0)).all()


@pytest.mark.parametrize("stop", [0.05, 0.5, 1.0])
def test_walks_without_dead_ends_take_as_many_visits_as_they_last(stop: float) -> None:
    edges = np.random.default_rng(0).random((30, 30))
    assert expected_visits(edges, 3, stop).sum() == pytest.approx(1 / stop)


def test_nobody_gains_by_rating_itself() -> None:
    edges = graph(3, (0, 1, 1), (0, 2, 1), (1, 2, 1))
    loops = edges + 100 * np.eye(3)
    np.testing.assert_allclose(exact_visits(loops, 0, 0.15).hits, exact_visits(edges, 0, 0.15).hits)
    np.testing.assert_allclose(expected_visits(loops, 0, 0.15), expected_visits(edges, 0, 0.15))


@pytest.mark.parametrize(
    ("edges", "ego", "stop", "message"),
    [
        (np.ones((2, 3)), 0, 0.5, r"`edges` should be square. Found shape \[2, 3\]"),
        (np.array([[0, -1.0], [0, 0]]), 0, 0.5, "negative feedback is no edge"),
        (np.array([[0, np.nan], [0, 0]]), 0, 0.5, "should be finite"),
        (np.array([[0, np.inf], [0, 0]]), 0, 0.5, "should be finite"),
        (np.ones((2, 2)), 2, 0.5, "0 <= ego < 2"),
        (np.ones((2, 2)), 0, 0.0, "0 < stop <= 1"),
        (np.ones((2, 2)), 0, float("nan"), "0 < stop <= 1"),
    ],
)
def test_what_is_no_graph_is_an_error(edges: Matrix, ego: int, stop: float, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        exact_visits(edges, ego, stop)
    with pytest.raises(ParameterError, match=message):
        expected_visits(edges, ego, stop)
    with pytest.raises(ParameterError, match=message):
        walked_visits(edges, ego, stop, 10, np.random.default_rng(0))


def test_no_walks_are_an_error() -> None:
    with pytest.raises(ParameterError, match=r"walks >= 1\. Found walks=0"):
        walked_visits(np.ones((2, 2)), 0, 0.5, 0, np.random.default_rng(0))
