"""Where to draw the peers of a network."""

from __future__ import annotations

import numpy as np

from robustfl.graphs.graph import Graph, Points
from robustfl.graphs.spectrum import modes

STEPS = 50
"""How many times overlapping peers are pushed apart."""
GOLDEN = np.pi * (3 - 5**0.5)
"""The angle by which peers at the same place move in different directions."""
SAME = 1e-6
"""Eigenvectors are of one eigenvalue where the sums of their squared jumps differ by less."""
NEAR = 0.8
"""The distance below which peers are pushed apart, in distances of peers on a square lattice that fills the square."""


def layout(graph: Graph) -> Points:
    """Positions in the unit square, [n, 2]: the graph's own, or else by its spectrum.

    Method: x and y are the first two eigenvectors of the Laplacian after the constant one, each from 0 to 1. Peers on
    both sides of the weakest cut are then left and right, and peer 0 is not left of the middle of the numbers. Peers
    that overlap are pushed apart, 50 times. Where the spectrum does not tell peers apart (as in complete graphs, stars
    and tori), or the graph is not connected, peers stand on a circle, and the few who hear everybody within it.

    >>> layout(Graph(n=2, edges=[(0, 1)])).tolist()
    [[1.0, 0.5], [0.0, 0.5]]
    """
    if graph.positions is not None:
        return _scaled(graph.positions, alike=True)
    if graph.n < 3 or graph.parts().any() or _undecided(graph):
        return _circle(graph)
    return _scaled(_apart(_scaled(modes(graph, 2))))


def _undecided(graph: Graph) -> bool:
    """Whether three or more eigenvectors share the lowest eigenvalue, so that no two of them are better than others."""
    if graph.n < 4:
        return False
    vectors = modes(graph, 3)
    jumps = ((vectors[graph.edges[:, 0]] - vectors[graph.edges[:, 1]]) ** 2).sum(axis=0)
    return bool(jumps.max() - jumps.min() < SAME * jumps.max())


def _circle(graph: Graph) -> Points:
    angles = 2 * np.pi * np.arange(graph.n) / graph.n
    found = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hubs = np.flatnonzero(graph.degree == graph.n - 1)
    if 0 < len(hubs) <= graph.n / 4:
        found[hubs] = 0.5 + (0.0 if len(hubs) == 1 else 0.15) * (found[hubs] - 0.5)
    return np.abs(found.round(12))


def _scaled(points: Points, *, alike: bool = False) -> Points:
    """The points from 0 to 1 in both coordinates, or in the longer one if both are to keep their unit."""
    low, width = points.min(axis=0), np.ptp(points, axis=0)
    unit = np.full(2, width.max()) if alike else width
    shift = (1 - width / np.where(unit > 0, unit, 1)) / 2
    found: Points = (points - low) / np.where(unit > 0, unit, 1) + shift
    return found


def _apart(points: Points) -> Points:
    """The points after those that are too near to each other have been pushed apart."""
    from scipy.spatial import KDTree

    n, found = len(points), points.copy()
    near = NEAR / np.sqrt(n)
    angles = GOLDEN * np.arange(n)
    found += 1e-3 * near * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # nobody is exactly at another's place
    for _ in range(STEPS):
        pairs = KDTree(found).query_pairs(near, output_type="ndarray")
        if not len(pairs):
            break
        one, other = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T
        between = found[one] - found[other]
        length = np.linalg.norm(between, axis=1, keepdims=True)
        push = between / np.maximum(length, 1e-12) * (near - length) / 2
        moved = np.zeros_like(found)
        np.add.at(moved, one, push)
        np.add.at(moved, other, -push)
        found += moved / np.maximum(1, np.bincount(pairs.ravel(), minlength=n))[:, None] ** 0.5
    return found
