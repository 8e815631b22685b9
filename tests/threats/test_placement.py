"""Where Sybils attach: numbers of edges and Sybils, groups of near peers, medoids, and random networks."""

from __future__ import annotations

from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.threats.peers.placement import Matrix, geometric_graph, hop_distances, k_medoids, place_sybils


def line(n: int) -> Matrix:
    """0 - 1 - ... - (n - 1)."""
    return np.asarray(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) == 1)


def cliques(*sizes: int) -> Matrix:
    """Parts in which everybody knows everybody, and nobody anybody else."""
    part = np.repeat(np.arange(len(sizes)), sizes)
    return np.asarray(part[:, None] == part)


def parts(graph: Matrix) -> int:
    return len({tuple(row) for row in hop_distances(graph) < len(graph)})


def by_paths(graph: Matrix) -> NDArray[np.int64]:
    """Hops by powers of the matrix; n where no path leads."""
    n = len(graph)
    hops, reached, steps = np.full((n, n), n), np.eye(n, dtype=bool), 0
    while (reached & (hops == n)).any():
        hops[reached & (hops == n)] = steps
        reached = reached @ (graph | np.eye(n, dtype=bool))
        steps += 1
    return hops


graphs = st.builds(
    lambda seed, n, radius: geometric_graph(n, radius=radius, rng=seed),
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.sampled_from([0.05, 0.2, 0.6]),
)


@pytest.mark.parametrize(
    ("phi", "edges", "sybils"), [(0.5, 49, 7), (1.0, 99, 15), (2.0, 198, 30), (1.5, 148, 22), (1 / 99, 1, 1)]
)
@pytest.mark.parametrize("seed", [0, 2])
def test_the_published_numbers_of_edges_and_sybils(phi: float, edges: int, sybils: int, seed: int) -> None:
    placed = place_sybils(geometric_graph(99, rng=2), attack_edges=phi, rng=seed)
    assert (sum(map(len, placed)), len(placed)) == (edges, sybils)
    assert max(map(len, placed)) <= 7


def test_the_published_network_has_its_edges_and_its_sybils_all_but_one_seven() -> None:
    graph = geometric_graph(99, rng=2)
    assert (parts(graph), int(graph.sum()) // 2) == (1, 272)
    assert sorted(map(len, place_sybils(graph, rng=0))) == [1, *[7] * 14]


@settings(deadline=None, max_examples=80)
@given(graph=graphs, phi=st.floats(0.05, 3.2), most=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_everybody_is_attached_once_in_each_pass_and_medoids_once_more(
    graph: Matrix, phi: float, most: int, seed: int
) -> None:
    n = len(graph)
    edges = int(np.floor(n * phi + 1e-9))
    if not edges:
        return
    placed = place_sybils(graph, attack_edges=phi, max_degree=most, rng=seed)
    passes, rest = divmod(edges, n)
    times = np.bincount([node for group in placed for node in group], minlength=n)
    wanted = np.full(n, passes)
    if rest:
        wanted[k_medoids(hop_distances(graph), rest)] += 1
    assert times.tolist() == wanted.tolist()
    assert len(placed) == passes * ceil(n / most) + ceil(rest / most)
    assert all(len(group) <= most and group == tuple(sorted(set(group))) for group in placed)
    assert placed == place_sybils(graph, attack_edges=phi, max_degree=most, rng=np.random.default_rng(seed))


@settings(deadline=None, max_examples=60)
@given(graph=graphs, most=st.integers(2, 9), seed=st.integers(0, 2**32))
def test_groups_grow_by_the_nearest_that_is_left(graph: Matrix, most: int, seed: int) -> None:
    """From some member every group can be made by adding, each time, one of the nearest that no group has yet."""
    hops, left = by_paths(graph), set(range(len(graph)))
    for group in place_sybils(graph, max_degree=most, rng=seed):

        def grown(first: int, group: tuple[int, ...] = group, free: frozenset[int] = frozenset(left)) -> bool:
            members, others = {first}, set(free) - {first}
            while len(members) < len(group):
                nearest = min(others, key=lambda node: (min(hops[member, node] for member in members), node))
                members.add(nearest)
                others.remove(nearest)
            return members == set(group)

        assert any(grown(first) for first in group)
        left -= set(group)
    assert left == set()


def test_groups_on_a_line_and_in_parts() -> None:
    first = place_sybils(line(30), rng=4)[0]
    assert first == tuple(range(first[0], first[0] + 7)), "neighbours of neighbours"
    for seed in range(5):
        assert set(place_sybils(cliques(7, 7, 7), rng=seed)) == {tuple(range(s, s + 7)) for s in (0, 7, 14)}


def test_the_generator_decides_where_groups_begin() -> None:
    graph = geometric_graph(40, rng=0)
    assert len({tuple(place_sybils(graph, rng=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("kind", [bool, int, np.uint8, float])
def test_graphs_of_numbers_and_with_loops_are_the_same_graphs(kind: Any) -> None:
    graph = geometric_graph(20, radius=0.4, rng=1)
    wanted = place_sybils(graph, attack_edges=1.5, rng=0)
    assert place_sybils((graph | np.eye(20, dtype=bool)).astype(kind).tolist(), attack_edges=1.5, rng=0) == wanted


def test_fewer_peers_than_a_sybil_may_have() -> None:
    assert place_sybils(line(3), rng=0) == [(0, 1, 2)]
    assert place_sybils(np.zeros((1, 1)), attack_edges=2, rng=0) == [(0,), (0,)]
    lonely = np.zeros((5, 5))
    assert place_sybils(lonely, rng=0) == [(0, 1, 2, 3, 4)], "peers without any neighbour are attacked as well"
    assert [len(group) for group in place_sybils(lonely, attack_edges=0.5, rng=0)] == [2]


def test_shares_that_miss_an_integer_by_rounding_are_that_integer() -> None:
    assert 0.29 * 100 < 29
    assert sum(map(len, place_sybils(line(100), attack_edges=0.29, rng=0))) == 29
    assert sum(map(len, place_sybils(line(10), attack_edges=2.3, rng=0))) == 23


@settings(deadline=None, max_examples=40)
@given(graph=graphs)
def test_hops_are_those_of_the_powers_of_the_graph(graph: Matrix) -> None:
    np.testing.assert_array_equal(hop_distances(graph), by_paths(graph))


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 7), data=st.data())
def test_medoids_are_a_local_minimum_no_worse_than_the_greedy_choice(seed: int, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    points = np.random.default_rng(seed).integers(0, 6, size=(n, 2))  # some of them in one place
    d = np.abs(points[:, None] - points).sum(axis=-1).astype(float)
    found = k_medoids(d, k)
    assert len(set(found.tolist())) == k

    def cost(medoids: tuple[int, ...]) -> float:
        return float(sum(min(d[point, medoid] for medoid in medoids) for point in range(n)))

    greedy: tuple[int, ...] = ()
    for _ in range(k):
        left = [point for point in range(n) if point not in greedy]
        greedy = min(((*greedy, point) for point in left), key=cost)
    best = min(cost(medoids) for medoids in combinations(range(n), k))
    assert best <= cost(tuple(found)) <= cost(greedy)
    nearest = d[:, found].argmin(axis=1)
    nearest[found] = range(k)
    for number, medoid in enumerate(found):
        cluster = np.flatnonzero(nearest == number)
        assert d[cluster, medoid].sum() <= min(d[cluster, other].sum() for other in cluster)


def test_medoids_of_lines_and_parts() -> None:
    assert k_medoids(hop_distances(line(7)), 1).tolist() == [3]
    assert k_medoids(hop_distances(cliques(3, 5, 4)), 3).tolist() == [0, 3, 8], "one for each part"
    star = np.zeros((9, 9))
    star[4] = star[:, 4] = 1
    assert place_sybils(star, attack_edges=0.12, rng=0) == [(4,)], "the center of a star"


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), radius=st.floats(0.01, 2.0), most=st.integers(1, 12))
def test_networks_keep_their_bound_and_only_short_edges(seed: int, n: int, radius: float, most: int) -> None:
    graph = geometric_graph(n, radius=radius, max_degree=most, rng=seed)
    points = np.random.default_rng(seed).random((n, 2))
    near = np.hypot(*(points[:, None] - points).T) <= radius * (1 + 1e-12)
    assert graph.shape == (n, n)
    assert graph.dtype == np.bool_
    assert (graph == graph.T).all()
    assert not graph.diagonal().any()
    assert graph.sum(axis=0).max() <= most
    assert not (graph & ~near).any()
    whole = near & ~np.eye(n, dtype=bool)
    degrees = whole.sum(axis=0)
    assert (np.maximum.outer(degrees, degrees)[whole & ~graph] > most).all(), "only edges of who had too many"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("radius", [0.1, 0.2, 2.0])
def test_no_part_falls_off_a_network(seed: int, radius: float) -> None:
    thinned, whole = (geometric_graph(99, radius=radius, max_degree=most, rng=seed) for most in (7, 99))
    assert parts(thinned) == parts(whole)


def test_networks_repeat_with_their_seed() -> None:
    first, again, other = (geometric_graph(50, rng=seed) for seed in (2, np.random.default_rng(2), 3))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("n", [1, 2, 30, 99])
def test_without_a_radius_networks_are_connected(n: int) -> None:
    assert [parts(geometric_graph(n, rng=seed)) for seed in range(20)] == [1] * 20


def test_a_bound_that_parts_every_network_is_an_error() -> None:
    with pytest.raises(ParameterError, match=r"none of 100 networks of 30 peers with max_degree=1 was connected"):
        geometric_graph(30, max_degree=1, rng=0)


def test_a_bound_of_one_breaks_bridges_where_it_must() -> None:
    assert geometric_graph(30, radius=2.0, max_degree=1, rng=0).sum(axis=0).max() == 1


NAN = float("nan")


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (np.ones((2, 3)), {}, r"`graph` should be square, \[N, N\] with N >= 1. Found shape \[2, 3\]. Give a row"),
        (np.ones(4), {}, r"`graph` should be square.* Found shape \[4\]"),
        (np.ones((0, 0)), {}, r"`graph` should be square.* Found shape \[0, 0\]"),
        (np.triu(np.ones((3, 3))), {}, r"`graph` should be symmetric. It is not. Use graph \| graph.T"),
        (np.full((2, 2), NAN), {}, "`graph` should hold 0 and 1, or booleans"),
        (np.full((2, 2), 3), {}, "`graph` should hold 0 and 1.* Use graph != 0 for weights"),
        (np.full((2, 2), "1"), {}, "`graph` should hold 0 and 1"),
        (line(9), {"attack_edges": 0.0}, "`attack_edges` should satisfy attack_edges > 0. Found attack_edges=0.0"),
        (line(9), {"attack_edges": -1}, "`attack_edges` should satisfy attack_edges > 0"),
        (line(9), {"attack_edges": NAN}, "`attack_edges` should be a number. Found attack_edges=nan"),
        (line(9), {"attack_edges": float("inf")}, "`attack_edges` should satisfy attack_edges < inf"),
        (line(9), {"attack_edges": 0.1}, "attack_edges >= 1/N, or nobody .* attack_edges=0.1, N=9. Use 1/9 or more"),
        (line(9), {"max_degree": 0}, "`max_degree` should satisfy max_degree >= 1. Found max_degree=0"),
        (line(9), {"max_degree": 2.5}, "`max_degree` should be an integer"),
    ],
)
def test_what_cannot_be_placed_is_an_error(graph: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        place_sybils(graph, **options, rng=0)


@pytest.mark.parametrize(
    ("distances", "k", "message"),
    [
        (np.zeros((3, 2)), 1, r"`distances` should be square.* Found shape \[3, 2\]"),
        (np.full((2, 2), -1.0), 1, "`distances` should be finite and >= 0"),
        (np.full((2, 2), np.inf), 1, "`distances` should be finite.* Put a number beyond all others"),
        (np.full((2, 2), NAN), 1, "`distances` should be finite"),
        (np.zeros((2, 2)), 0, "`k` should satisfy k >= 1. Found k=0"),
        (np.zeros((2, 2)), 3, "`k` should satisfy k <= n, the number of points. Found k=3, n=2. Use fewer"),
    ],
)
def test_what_has_no_medoids_is_an_error(distances: Any, k: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        k_medoids(distances, k)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"radius": 0.0}, {"radius": NAN}, {"max_degree": 0}])
def test_what_is_no_network_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"geometric_graph: `{next(iter(wrong))}`"):
        geometric_graph(**({"n": 9} | wrong), rng=0)


@given(graphs, st.sampled_from([0.4, 1.0, 2.0, 1.5]), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=40)
def test_groups_by_chance_are_as_many_and_attach_the_same(graph: Matrix, phi: float, most: int, seed: int) -> None:
    if len(graph) * phi < 1:
        return
    near = place_sybils(graph, attack_edges=phi, max_degree=most, rng=seed)
    mixed = place_sybils(graph, attack_edges=phi, max_degree=most, by_chance=True, rng=seed)
    assert len(mixed) == len(near)
    assert sorted(peer for group in mixed for peer in group) == sorted(peer for group in near for peer in group)
    assert max(map(len, mixed)) <= most
    assert all(list(group) == sorted(set(group)) for group in mixed)


def test_peers_near_each_other_share_a_sybil_unless_chance_decides() -> None:
    def shared(by_chance: bool) -> float:
        """The share of edges of a long line both of whose ends meet the same Sybil."""
        of = np.empty(60, dtype=np.int64)
        for number, group in enumerate(place_sybils(line(60), max_degree=6, by_chance=by_chance, rng=3)):
            of[list(group)] = number
        return float(np.mean(of[1:] == of[:-1]))

    assert shared(by_chance=False) > 0.7
    assert shared(by_chance=True) < 0.25  # one of ten by chance
