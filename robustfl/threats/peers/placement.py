"""Where Sybils attach to a network of peers, and the random networks in which this is evaluated.

A graph is a symmetric matrix [N, N] of 0 and 1 (or of booleans) over the honest peers 0 to N - 1: who is whose
neighbour. Loops count for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import ArrayLike, NDArray

from robustfl.aggregation.kernels.base import Floats
from robustfl.components import checked
from robustfl.errors import ParameterError

Graph = NDArray[np.bool_]
Nodes = NDArray[np.int64]

MAX_DEGREE = 7
RADIUS = 0.2

_ROUNDING = 1e-9
"""What a product with a fraction may miss an integer by, and still be meant to be that integer."""


def place_sybils(
    graph: ArrayLike,
    *,
    attack_edges: float = 1.0,
    max_degree: int = MAX_DEGREE,
    rng: np.random.Generator | int,
) -> list[tuple[int, ...]]:
    """To which honest peers each Sybil is attached, for `attack_edges` per honest peer.

    Method: the integer part of `attack_edges` is the number of passes that attach every honest peer once; for the
    fractional part, ``floor(N fraction)`` of them are attached, the K-medoids of their distances in hops. Each pass
    puts the peers that it attaches into groups: a random one, then again and again the one that is nearest to any
    member (ties: the lower number), until `max_degree` peers are together. Every group has one Sybil, new in each
    pass, so that ``ceil(attached/max_degree)`` Sybils are as inconspicuous as honest peers.
    One edge per peer (1) is the worst for peers that compare only their neighbours: nobody meets two Sybils. With 2 and
    more they do; below 1 few Sybils reach the whole network from its centers.

    Shapes: [N, N] -> a tuple of ascending peer numbers for each Sybil, pass by pass.

    Cost: O(N^2) numbers; O(N^3) at most for the hops, as much for the medoids, O(N^2) for each pass.

    Parameters
    ----------
    graph : who is whose neighbour among the N honest peers; parts that no path joins are N hops apart
    attack_edges : phi > 0, edges between honest peers and Sybils, per honest peer; floor(N phi) >= 1
    max_degree : the most neighbours that a Sybil has, >= 1
    rng : where the random first peers of the groups come from: a generator, or a seed

    Raises
    ------
    ParameterError : what is no graph, or a number out of range

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    Examples
    --------
    >>> ring = np.roll(np.eye(8, dtype=bool), 1, axis=1)
    >>> ring |= ring.T
    >>> place_sybils(ring, max_degree=4, rng=0)
    [(3, 4, 5, 6), (0, 1, 2, 7)]
    >>> place_sybils(ring, attack_edges=0.25, rng=0)
    [(0, 3)]
    """
    phi = checked(attack_edges, float, (Gt(0), Lt(float("inf"))), "place_sybils", "attack_edges")
    most = checked(max_degree, int, (Ge(1),), "place_sybils", "max_degree")
    rng = np.random.default_rng(rng)
    hops = hop_distances(graph)
    n = len(hops)
    passes, rest = divmod(int(np.floor(n * phi + _ROUNDING)), n)
    if not passes and not rest:
        raise ParameterError(
            f"`attack_edges` should satisfy attack_edges >= 1/N, or nobody is attacked. Found attack_edges={phi}, "
            f"N={n}. Use 1/{n} or more, or a larger graph."
        )
    attached = [np.arange(n)] * passes + ([k_medoids(hops, rest)] if rest else [])
    return [group for nodes in attached for group in _groups(hops, nodes, most, rng)]


def k_medoids(distances: ArrayLike, k: int) -> Nodes:
    """K of n points of which one is near to each point: K-medoids, without any randomness.

    Method: greedy build (again and again the point that lowers ``sum_i min_m D_im`` most), then in turns every point
    goes to its nearest medoid and the medoid of each cluster to the member with the least sum of distances to it,
    while that sum goes down. Ties: the lower number. The result is a local minimum.

    Shapes: [n, n] -> [k], ascending.

    Cost: O(k n^2).

    Parameters
    ----------
    distances : D >= 0, finite, from the row to the column
    k : number of medoids, 1 <= k <= n

    Raises
    ------
    ParameterError : what are no distances, or k out of range

    References
    ----------
    L. Kaufman, P. J. Rousseeuw. Finding Groups in Data. Wiley, 1990 (the build).
    H.-S. Park, C.-H. Jun. A simple and fast algorithm for K-medoids clustering. Expert Systems with Applications, 2009.

    Examples
    --------
    >>> points = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    >>> k_medoids(abs(points[:, None] - points), 2).tolist()
    [1, 4]
    """
    d = np.asarray(distances, dtype=np.float64)
    _check_square(d, "distances")
    if not (d >= 0).all() or not np.isfinite(d).all():
        raise ParameterError(
            "`distances` should be finite and >= 0. They are not. Put a number beyond all others for points that no "
            "path joins."
        )
    n = len(d)
    k = checked(k, int, (Ge(1),), "k_medoids", "k")
    if k > n:
        raise ParameterError(f"`k` should satisfy k <= n, the number of points. Found k={k}, n={n}. Use fewer medoids.")
    medoids = np.sort(_built(d, k))
    best, least = medoids, np.inf
    while (cost := d[:, medoids].min(axis=1).sum()) < least:
        best, least = medoids, cost
        nearest = d[:, medoids].argmin(axis=1)
        nearest[medoids] = np.arange(k)  # also where two medoids are at one place
        clusters = (np.flatnonzero(nearest == number) for number in range(k))
        medoids = np.sort([members[d[np.ix_(members, members)].sum(axis=0).argmin()] for members in clusters])
    return best


def geometric_graph(
    n: int, *, radius: float = RADIUS, max_degree: int = MAX_DEGREE, rng: np.random.Generator | int
) -> Graph:
    """A random network of peers: points in the unit square, neighbours within a radius, and nobody with too many.

    Method: n uniform points; edges up to `radius` long; then, peer by peer, random edges of those with more than
    `max_degree` are removed. An edge that alone holds two parts together goes only where a peer has no others left, so
    that the network falls into as many parts as points and radius make; below 5 the bound often forces more.

    Shapes: -> [n, n] of booleans, symmetric, without loops.

    Cost: O(n) for each edge removed, O(n^2) for one on the way of which no third peer is.

    Parameters
    ----------
    n : number of peers, >= 1
    radius : length of the longest edge, > 0, in sides of the square
    max_degree : the most neighbours of a peer, >= 1
    rng : where points and choices come from: a generator, or a seed

    Raises
    ------
    ParameterError : a number out of range

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    Examples
    --------
    >>> graph = geometric_graph(99, rng=2)
    >>> graph.shape, int(graph.sum(axis=0).max())
    ((99, 99), 7)
    """
    from scipy.spatial import KDTree

    n = checked(n, int, (Ge(1),), "geometric_graph", "n")
    radius = checked(radius, float, (Gt(0),), "geometric_graph", "radius")
    most = checked(max_degree, int, (Ge(1),), "geometric_graph", "max_degree")
    rng = np.random.default_rng(rng)
    pairs = KDTree(rng.random((n, 2))).query_pairs(radius, output_type="ndarray")
    graph = np.zeros((n, n), dtype=np.bool_)
    graph[pairs[:, 0], pairs[:, 1]] = graph[pairs[:, 1], pairs[:, 0]] = True
    for node in range(n):
        _thin_out(graph, node, most, rng)
    return graph


def hop_distances(graph: ArrayLike) -> Floats:
    """Edges on the shortest path between two nodes, [N, N] -> [N, N]; N, more than any path has, where none leads.

    Raises ParameterError for what is no graph.
    """
    from scipy.sparse.csgraph import shortest_path

    hops: Floats = shortest_path(_checked_graph(graph).astype(np.float64), unweighted=True, directed=False)
    return np.where(np.isfinite(hops), hops, float(len(hops)))


def _groups(hops: Floats, nodes: Nodes, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Nodes in groups of `most` neighbours each, only the last one smaller."""
    found, left = [], nodes
    while len(left):
        group: list[int] = []
        away = hops[rng.choice(left)]  # of every node from the group: at first from its first member
        while len(left) and len(group) < most:
            place = int(away[left].argmin())
            group.append(int(left[place]))
            away = np.minimum(away, hops[left[place]])
            left = np.delete(left, place)
        found.append(tuple(sorted(group)))
    return found


def _built(d: Floats, k: int) -> Nodes:
    """The greedy choice of medoids."""
    chosen = [int(d.sum(axis=0).argmin())]
    nearest = d[:, chosen[0]]
    while len(chosen) < k:
        gains = np.maximum(nearest[:, None] - d, 0.0).sum(axis=0)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        nearest = np.minimum(nearest, d[:, chosen[-1]])
    return np.array(chosen)


def _thin_out(graph: Graph, node: int, most: int, rng: np.random.Generator) -> None:
    """Remove random edges of a node with more than `most`, in place; bridges only if it must be."""
    ends = rng.permutation(np.flatnonzero(graph[node]))
    for spare_bridges in (True, False):
        for end in ends:
            if graph[node].sum() <= most:
                return
            if graph[node, end] and not (spare_bridges and _is_bridge(graph, node, end)):
                graph[node, end] = graph[end, node] = False


def _is_bridge(graph: Graph, one: int, other: int) -> bool:
    """Whether no other path leads from one end of an edge to the other."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order

    if (graph[one] & graph[other]).any():
        return False
    without = graph.copy()
    without[one, other] = without[other, one] = False
    return other not in breadth_first_order(csr_matrix(without), one, return_predecessors=False)


def _checked_graph(graph: ArrayLike) -> Graph:
    """The graph as booleans, or an error that says what is wrong with it."""
    found = np.asarray(graph)
    _check_square(found, "graph")
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise ParameterError("`graph` should hold 0 and 1, or booleans. It does not. Use graph != 0 for weights.")
    if (found != found.T).any():
        raise ParameterError(
            "`graph` should be symmetric. It is not. Use graph | graph.T where one direction is enough."
        )
    return found.astype(np.bool_)


def _check_square(matrix: NDArray[Any], name: str) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ParameterError(
            f"`{name}` should be square, [N, N] with N >= 1. Found shape {list(matrix.shape)}. "
            "Give a row and a column to each node."
        )
