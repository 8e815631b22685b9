"""Where Sybils attach to a network of peers, and random networks for evaluating this.

A graph is a :class:`~robustfl.graphs.graph.Graph`, or a symmetric matrix [N, N] of 0 and 1 (or of booleans), over the
honest peers 0 to N - 1. It tells which peers are neighbours. Loops (a peer as its own neighbour) are ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import ArrayLike, NDArray

from robustfl.aggregation.kernels.base import Floats
from robustfl.components import checked
from robustfl.errors import ParameterError
from robustfl.graphs.geometric import geometric_network, usual_radius
from robustfl.graphs.graph import Graph, Nodes

Matrix = NDArray[np.bool_]

MAX_DEGREE = 7
DRAWS = 100
"""How many networks are drawn until one is connected, where the radius is not given."""

_ROUNDING = 1e-9
"""A product with a fraction that misses an integer by less than this is taken to be that integer."""


def place_sybils(
    graph: ArrayLike | Graph,
    *,
    attack_edges: float = 1.0,
    max_degree: int = MAX_DEGREE,
    by_chance: bool = False,
    rng: np.random.Generator | int,
) -> list[tuple[int, ...]]:
    """The honest peers to which each Sybil is attached, with `attack_edges` attack edges per honest peer.

    Method: the integer part of `attack_edges` is the number of passes that attach every honest peer once. For the
    fractional part, one more pass attaches ``floor(N fraction)`` peers, which are the K-medoids of the distances in
    hops. Each pass puts its peers into groups. A group starts with a random peer, and then takes again and again the
    peer that is nearest to any member (the one with the lower number when two are equally near), until it has
    `max_degree` peers; or, if groups are formed `by_chance`, of random peers, in sizes that differ by at most one.
    Every group gets its own Sybil, new in each pass. A pass thus has ``ceil(attached/max_degree)`` Sybils, which have
    no more neighbours than honest peers. Neighbours mostly meet the same Sybil, or different ones if chance decides.
    One attack edge per peer (1) is the worst case for peers that only compare their neighbours, because no peer meets
    two Sybils. With 2 and more, peers meet several. Below 1, a few Sybils reach the whole network from its centers.

    Shapes: [N, N] -> for each Sybil, pass by pass, a tuple of ascending peer numbers.

    Cost: O(N) searches of near peers for each pass. A fraction also needs all distances and their medoids: memory
    O(N^2), and time at most O(N^3).

    Parameters
    ----------
    graph : the graph of the N honest peers; peers that no path joins count as N hops apart
    attack_edges : phi > 0, number of edges between honest peers and Sybils, per honest peer; floor(N phi) >= 1
    max_degree : largest number of neighbours of a Sybil, >= 1
    by_chance : whether chance decides which peers share a Sybil, and not how near they are
    rng : a generator or a seed, from which the random first peers of the groups come

    Raises
    ------
    ParameterError : `graph` is not a graph, or a number is out of range

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
    network = _as_graph(graph)
    n = network.n
    passes, rest = _counted(n, phi)
    attached = [np.arange(n)] * passes + ([k_medoids(hop_distances(network), rest)] if rest else [])
    if by_chance:
        return [group for nodes in attached for group in _random_groups(nodes, most, rng)]
    return [group for nodes in attached for group in _groups(network, nodes, most, rng)]


def sybils_needed(n: int, attack_edges: float, max_degree: int = MAX_DEGREE) -> int:
    """The number of Sybils that :func:`place_sybils` attaches to n peers.

    Raises ParameterError when nobody is attacked.

    >>> [sybils_needed(99, phi) for phi in (0.5, 1.0, 2.0)]
    [7, 15, 30]
    """
    passes, rest = _counted(n, attack_edges)
    return passes * -(-n // max_degree) + -(-rest // max_degree)


def k_medoids(distances: ArrayLike, k: int) -> Nodes:
    """K-medoids without randomness: k of n points, chosen so that every point is near to one of them.

    Method: the greedy build adds again and again the point that lowers ``sum_i min_m D_im`` most. Then two steps
    alternate while this sum goes down: every point joins the cluster of its nearest medoid, and the medoid of each
    cluster becomes the member with the smallest sum of distances from all members. Of equally good points, the one with
    the lower number is taken. The result is a local minimum.

    Shapes: [n, n] -> [k], ascending.

    Cost: O(k n^2) for the build, and O(n^2) at most for each repetition.

    Parameters
    ----------
    distances : finite D >= 0, from the point of the row to the point of the column
    k : number of medoids, 1 <= k <= n

    Raises
    ------
    ParameterError : `distances` are not such distances, or k is out of range

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
        nearest[medoids] = np.arange(k)  # a medoid stays in its cluster, also when two medoids have distance 0
        clusters = (np.flatnonzero(nearest == number) for number in range(k))
        medoids = np.sort([members[d[np.ix_(members, members)].sum(axis=0).argmin()] for members in clusters])
    return best


def geometric_graph(
    n: int, *, radius: float | None = None, max_degree: int = MAX_DEGREE, rng: np.random.Generator | int
) -> Matrix:
    """A random network of peers: points in the unit square with edges up to a radius, and a limit on neighbours.

    Method: n points are drawn uniformly, and two points get an edge when they are at most `radius` apart. Then, peer by
    peer, random edges of peers with more than `max_degree` neighbours are removed. An edge without which the network
    would fall apart is removed only if the peer has no other edges left. With a given radius, the network therefore has
    as many parts as the points and the radius imply; a limit below 5 often forces more parts. Without one, the radius
    is 0.2 for 99 peers and in proportion to ``sqrt(ln n / n)`` for other numbers, and networks are drawn until one is
    connected.

    Shapes: the answer is a symmetric boolean matrix [n, n] without loops.

    Cost: O(1) for each edge removed whose ends have a common neighbour, and for others the search for another way.

    Parameters
    ----------
    n : number of peers, >= 1
    radius : length of the longest edge, > 0, in side lengths of the square
    max_degree : largest number of neighbours of a peer, >= 1
    rng : a generator or a seed, from which points and choices come

    Raises
    ------
    ParameterError : a number is out of range, or none of 100 networks without a given radius was connected

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    Examples
    --------
    >>> graph = geometric_graph(99, rng=2)
    >>> graph.shape, int(graph.sum(axis=0).max())
    ((99, 99), 7)
    """
    n = checked(n, int, (Ge(1),), "geometric_graph", "n")
    most = checked(max_degree, int, (Ge(1),), "geometric_graph", "max_degree")
    rng = np.random.default_rng(rng)
    if radius is not None:
        longest = checked(radius, float, (Gt(0),), "geometric_graph", "radius")
        return Graph(n=n, edges=geometric_network(n, longest, most, rng)[1]).adjacency()
    for _ in range(DRAWS):
        graph = Graph(n=n, edges=geometric_network(n, usual_radius(n), most, rng)[1])
        if graph.connected:
            return graph.adjacency()
    raise ParameterError(
        f"geometric_graph: none of {DRAWS} networks of {n} peers with max_degree={most} was connected. Use a larger "
        "`max_degree`, or give a `radius` and take a network in parts."
    )


def hop_distances(graph: ArrayLike | Graph) -> Floats:
    """The number of edges on the shortest path between each two nodes, [N, N] -> [N, N].

    Where no path leads, the number is N, which is more than any path has.

    Raises ParameterError when `graph` is not a graph.
    """
    from scipy.sparse.csgraph import shortest_path

    hops: Floats = shortest_path(_as_graph(graph).matrix.astype(np.float64), unweighted=True, directed=False)
    return np.where(np.isfinite(hops), hops, float(len(hops)))


def _counted(n: int, phi: float) -> tuple[int, int]:
    """The number of passes that attach all of n peers, and the number of peers that the last pass attaches besides."""
    passes, rest = divmod(int(np.floor(n * phi + _ROUNDING)), n)
    if not passes and not rest:
        raise ParameterError(
            f"`attack_edges` should satisfy attack_edges >= 1/N, or nobody is attacked. Found attack_edges={phi}, "
            f"N={n}. Use 1/{n} or more, or a larger graph."
        )
    return passes, rest


def _as_graph(graph: ArrayLike | Graph) -> Graph:
    return graph if isinstance(graph, Graph) else Graph.of_matrix(graph)


def _groups(graph: Graph, nodes: Nodes, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The nodes in groups of `most` nodes near each other; only the last group may be smaller."""
    lengths = graph.matrix.astype(np.float64)
    found, left = [], nodes
    while len(left):
        group: list[int] = []
        near = [int(rng.choice(left))]  # the group, or the node with which it starts
        while len(left) and len(group) < most:
            place = _nearest(lengths, near, left)
            group.append(int(left[place]))
            near = group
            left = np.delete(left, place)
        found.append(tuple(sorted(group)))
    return found


def _random_groups(nodes: Nodes, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The nodes in as few groups of at most `most` nodes as there can be, by chance alone."""
    pieces = np.array_split(rng.permutation(nodes), -(-len(nodes) // most))
    return [tuple(sorted(piece.tolist())) for piece in pieces]


def _nearest(lengths: Any, group: list[int], left: Nodes) -> int:
    """The place in `left` of the node that is nearest to any of the group; the first of equally near ones."""
    from scipy.sparse.csgraph import dijkstra

    limit = 2.0
    while True:  # most groups find their next node near by, without a search of the whole graph
        away = dijkstra(lengths, unweighted=True, indices=group, min_only=True, limit=limit)[left]
        if np.isfinite(away).any() or limit > len(lengths.indptr):
            return int(np.where(np.isfinite(away), away, len(lengths.indptr)).argmin())
        limit *= 2


def _built(d: Floats, k: int) -> Nodes:
    """The greedy choice of k medoids from the distances [n, n]."""
    chosen = [int(d.sum(axis=0).argmin())]
    nearest = d[:, chosen[0]]
    while len(chosen) < k:
        gains = np.maximum(nearest[:, None] - d, 0.0).sum(axis=0)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        nearest = np.minimum(nearest, d[:, chosen[-1]])
    return np.array(chosen)


def _check_square(matrix: NDArray[Any], name: str) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ParameterError(
            f"`{name}` should be square, [N, N] with N >= 1. Found shape {list(matrix.shape)}. "
            "Give a row and a column to each node."
        )
