"""Random geometric networks: points in the unit square with edges up to a length, and a limit on neighbours."""

from __future__ import annotations

import math

import numpy as np

from robustfl.graphs.graph import Edges, Points

RADIUS = 0.2
"""The published radius, for :data:`PEERS` peers."""
PEERS = 99


def usual_radius(n: int) -> float:
    """The radius that is to n peers what 0.2 is to 99 of them: ``r ~ sqrt(ln n / n)``.

    Below such a rate, large networks fall apart.

    >>> [round(usual_radius(n), 3) for n in (1, 30, 99, 1000)]
    [0.2, 0.313, 0.2, 0.077]
    """
    return RADIUS if n < 2 else RADIUS * math.sqrt(math.log(n) / n * (PEERS / math.log(PEERS)))


def geometric_network(n: int, radius: float, most: int, rng: np.random.Generator) -> tuple[Points, Edges]:
    """The points [n, 2] and the edges [m, 2] of a network in which nobody has more than `most` neighbours.

    Peer by peer, random edges of peers with more neighbours are removed; an edge without which the network would fall
    apart is removed only if the peer has no other edges left.

    Cost: O(m) memory; O(1) for the removal of an edge whose ends have a common neighbour, and for others the search for
    another way round.
    """
    from scipy.spatial import KDTree

    points = rng.random((n, 2))
    near: list[set[int]] = [set() for _ in range(n)]
    for one, other in KDTree(points).query_pairs(radius, output_type="ndarray").tolist():
        near[one].add(other)
        near[other].add(one)
    for node in range(n):
        _thin_out(near, node, most, rng)
    edges = [(one, other) for one in range(n) for other in sorted(near[one]) if one < other]
    return points, np.array(edges, dtype=np.int64).reshape(-1, 2)


def _thin_out(near: list[set[int]], node: int, most: int, rng: np.random.Generator) -> None:
    """Remove random edges of a node until it has at most `most`, in place; bridges are removed last."""
    ends: list[int] = rng.permutation(np.array(sorted(near[node]), dtype=np.int64)).tolist()
    for spare_bridges in (True, False):
        for end in ends:
            if len(near[node]) <= most:
                return
            if end in near[node] and not (spare_bridges and _is_bridge(near, node, end)):
                near[node].discard(end)
                near[end].discard(node)


def _is_bridge(near: list[set[int]], one: int, other: int) -> bool:
    """Whether no other path leads from one end of this edge to the other end: a search from both ends."""
    if near[one] & near[other]:
        return False
    fronts = [near[one] - {other}, near[other] - {one}]
    met = [{one} | fronts[0], {other} | fronts[1]]
    while fronts[0] and fronts[1]:
        side = int(len(fronts[1]) < len(fronts[0]))
        if met[0] & fronts[1] or met[1] & fronts[0]:
            return False
        fronts[side] = set().union(*(near[peer] for peer in fronts[side])) - met[side]
        met[side] |= fronts[side]
    return True
