"""Which nodes random walks over a feedback graph visit, and through which others, exactly or by simulated walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import ParameterError


@dataclass(frozen=True)
class Visits:
    """What random walks from one node, the ego, visit.

    Attributes
    ----------
    hits : [n] share of the walks that visit each node at least once; 1 for the ego
    bottleneck : [n] of the walks to each node, the largest share that passes through the same other node (not the ego)
        on the way; 0 for nodes that no walk leads to, and 0 for the ego
    """

    hits: Floats
    bottleneck: Floats


def exact_visits(edges: Floats, ego: int, stop: float) -> Visits:
    """The exact probabilities, by linear algebra: O(n^3), deterministic, the right choice for up to 2,000 nodes.

    With the matrix of the walk ``P = (1 - stop) D^-1 W`` and ``G = (I - P)^-1``, a walk from i reaches v with
    probability ``F_iv = G_iv / G_vv``. Let s be the ego, ``A_u`` the probability that a walk meets u before v, and
    ``A_v`` the probability that it meets v before u. Then ``F_sv = A_v + A_u F_uv`` and ``F_su = A_u + A_v F_vu``, so
    ``A_u = (F_su - F_sv F_vu) / (1 - F_uv F_vu)``, and the share ``A_u F_uv / F_sv`` of the walks to v passes u first.

    Parameters
    ----------
    edges : [n, n] feedback of the row node about the column node, >= 0; rows of zeros are dead ends, where walks stop
    ego : the node where all walks start
    stop : probability that a walk stops before each step, in (0, 1]
    """
    weights = checked_edges(edges, ego, stop)
    n, green = len(weights), _green(weights, stop)
    reach = np.clip(green / np.diag(green), 0.0, 1.0)  # F [n, n]
    hits = reach[ego].copy()
    # rounding leaves small numbers at nodes that no walk reaches, so the graph itself decides what is reachable
    hits[~reachable(weights, ego)] = 0.0
    hits = hits if stop < 1 else np.eye(n)[ego]
    first = np.maximum(hits[:, None] - hits[None, :] * reach.T, 0.0)  # [u, v]: A_u up to its denominator
    through = np.divide(first, 1.0 - reach * reach.T, out=np.zeros((n, n)), where=reach * reach.T < 1.0) * reach
    np.fill_diagonal(through, 0.0)
    through[ego] = 0.0
    bottleneck = np.divide(through.max(axis=0), hits, out=np.zeros(n), where=hits > 0)
    bottleneck[ego] = 0.0
    return Visits(hits, np.minimum(bottleneck, 1.0))


def expected_visits(edges: Floats, ego: int, stop: float) -> Floats:
    """How often a walk visits each node on average, with every return counted.

    :func:`exact_visits`, in contrast, counts only the first visit of a walk to a node.

    Formula: row `ego` of ``G = (I - P)^-1`` with ``P = (1 - stop) D^-1 W``. ``G_ev = F_ev G_vv``, where F_ev is the
    share of walks that ever visit v. The sum over all nodes is 1/stop if no walk meets a dead end, and less otherwise.

    Shapes: [n, n] -> [n]; at least 1 for the ego, where walks start, and 0 for nodes that no walk leads to.

    Cost: O(n^3).

    Example: walks visit an attacker R times while it has no Sybils; then it sends all walks on to k Sybils. With
    ``c = 1 - stop``, the Sybils together are visited ``R c (1 - c^k)/(1 - c)`` times if they form a path, and ``R c``
    times if they are in parallel, whatever k. If each of the parallel Sybils sends the walks back, they are visited
    ``R c/(1 - c^2)`` times, and the attacker ``R/(1 - c^2)`` times.

    Parameters
    ----------
    edges, ego, stop : as in :func:`exact_visits`

    Raises
    ------
    ParameterError : edges that are not square, finite and >= 0, no such ego, or stop out of range

    Examples
    --------
    >>> attacker_and_sybil = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> expected_visits(attacker_and_sybil, 0, 0.5).round(4).tolist()
    [1.3333, 0.6667]
    """
    weights = checked_edges(edges, ego, stop)
    # rounding leaves small numbers at nodes that no walk reaches, as in exact_visits
    led_to = reachable(weights, ego) if stop < 1 else np.eye(len(weights), dtype=np.bool_)[ego]
    return np.where(led_to, np.maximum(_green(weights, stop)[ego], 0.0), 0.0)


def _green(weights: Floats, stop: float) -> Floats:
    """G [n, n]: how often a walk from the row node visits the column node on average."""
    totals = weights.sum(axis=1, keepdims=True)
    steps = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
    green: Floats = np.linalg.inv(np.eye(len(weights)) - (1.0 - stop) * steps)
    return green


def walked_visits(edges: Floats, ego: int, stop: float, walks: int, rng: np.random.Generator) -> Visits:
    """Estimates from simulated random walks, for graphs that are too large for O(n^3).

    All walks take each step together. A share h is estimated with a standard error of ``sqrt(h (1 - h) / walks)``. The
    walks are drawn anew in every call; nothing is kept from one graph to the next.

    Parameters
    ----------
    edges, ego, stop : as in :func:`exact_visits`
    walks : number of walks, >= 1
    rng : the random generator
    """
    if walks < 1:
        raise ParameterError(f"`walks` should satisfy walks >= 1. Found walks={walks}.")
    weights = checked_edges(edges, ego, stop)
    n = len(weights)
    take_steps = _Steps(weights)
    paths = np.full((walks, 1), ego)
    fresh = np.zeros((walks, 1), dtype=np.bool_)  # whether a step is the first visit to its node; False for the ego
    hits = np.zeros(n)
    hits[ego] = walks
    before: list[tuple[np.ndarray, np.ndarray]] = []  # numbers v n + u of pairs, u visited before v, and counts
    while True:
        alive = (rng.random(len(paths)) >= stop) & take_steps.possible[paths[:, -1]]
        if not alive.any():
            break
        paths, fresh = paths[alive], fresh[alive]
        after = take_steps(paths[:, -1], rng)
        new = (paths != after[:, None]).all(axis=1)
        hits += np.bincount(after[new], minlength=n)
        earlier = fresh[new]
        pairs = np.repeat(after[new], earlier.sum(axis=1)) * n + paths[new][earlier]
        before.append(np.unique(pairs, return_counts=True))
        paths = np.concatenate([paths, after[:, None]], axis=1)
        fresh = np.concatenate([fresh, new[:, None]], axis=1)
    return Visits(hits / walks, _largest_share(before, hits))


class _Steps:
    """Draws the next nodes of many walks at once, by one search in the concatenated cumulative weights of all rows."""

    def __init__(self, weights: Floats) -> None:
        rows, self._targets = np.nonzero(weights)
        counts = np.bincount(rows, minlength=len(weights))
        self._ends = np.cumsum(counts)
        self.possible = counts > 0
        running = np.cumsum(weights, axis=1)[rows, self._targets]
        self._keys = rows + running / running[self._ends[rows] - 1]

    def __call__(self, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        found = np.searchsorted(self._keys, nodes + rng.random(len(nodes)), side="right")
        # `node + 0.99999...` may round to the key at the end of the row
        chosen: np.ndarray = self._targets[np.minimum(found, self._ends[nodes] - 1)]
        return chosen


def _largest_share(before: list[tuple[np.ndarray, np.ndarray]], hits: Floats) -> Floats:
    bottleneck = np.zeros(len(hits))
    if before:
        pairs, place = np.unique(np.concatenate([pairs for pairs, _ in before]), return_inverse=True)
        counts = np.bincount(place, weights=np.concatenate([counts for _, counts in before]), minlength=len(pairs))
        nodes = pairs // len(hits)
        np.maximum.at(bottleneck, nodes, counts / hits[nodes])
    return bottleneck


def reachable(weights: Floats, ego: int) -> np.ndarray:
    """bool [n]: which nodes a path of positive edges from the ego leads to."""
    reached = np.zeros(len(weights), dtype=np.bool_)
    reached[ego] = True
    frontier = reached.copy()
    while frontier.any():
        frontier = (weights[frontier] > 0).any(axis=0) & ~reached
        reached |= frontier
    return reached


def checked_edges(edges: Floats, ego: int, stop: float) -> Floats:
    """The edges as float64, without edges from a node to itself; an error says what is wrong with them."""
    weights = np.array(edges, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise ParameterError(f"`edges` should be square. Found shape {list(weights.shape)}.")
    if not (weights >= 0).all() or not np.isfinite(weights.sum()):
        raise ParameterError("`edges` should be finite and >= 0; negative feedback is no edge. They are not.")
    if not 0 <= ego < len(weights):
        raise ParameterError(f"`ego` should satisfy 0 <= ego < {len(weights)}. Found ego={ego}.")
    if not 0 < stop <= 1:
        raise ParameterError(f"`stop` should satisfy 0 < stop <= 1. Found stop={stop}.")
    np.fill_diagonal(weights, 0.0)
    return weights
