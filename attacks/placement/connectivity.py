"""Malicious peers without whom the network holds together least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.graph import Graph, Nodes
from robustfl.graphs.spectrum import connectivity, fiedler
from robustfl.threats import Placement

TRIED = 50
"""How many peers are tried for each place, in networks of more peers."""


@dataclass(frozen=True, kw_only=True)
class Connectivity(Placement):
    """One peer after the other, so that the algebraic connectivity of all others is least.

    Method: each step takes the peer without whom the rest has the lowest mu2; where the rest falls apart, the one that
    leaves the fewest pairs of peers that reach each other. Of equal ones, the one with the lower number is taken. In
    networks of more than 50 peers, a step tries the 50 peers for which the Fiedler vector v tells the least: without
    peer i, about ``(mu2 - sum_j (v_i - v_j)^2)/(1 - v_i^2)`` is left.

    Cost: 50 f eigenvalue problems.

    Examples
    --------
    >>> from robustfl.attacks import Connectivity
    >>> chain = Graph(n=5, edges=[(0, 1), (1, 2), (2, 3), (3, 4)])
    >>> Connectivity().choose(chain, 1, np.random.default_rng(0)).tolist()
    [2]
    """

    unfit: ClassVar[str] = (
        "with many malicious peers in a large network, as every one of them costs up to 50 eigenvalue problems"
    )

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        rest, numbers, taken = graph, np.arange(graph.n), []
        for _ in range(f):
            place = min(_candidates(rest), key=lambda peer: (*_left(rest, int(peer)), int(peer)))
            taken.append(int(numbers[place]))
            rest, kept = rest.without([int(place)])
            numbers = numbers[kept]
        return np.array(taken)


def _candidates(graph: Graph) -> Nodes:
    """The peers that are worth a try, ascending."""
    if graph.n <= TRIED:
        return np.arange(graph.n)
    if not graph.connected:  # the largest part is what is left to take apart
        parts = graph.parts()
        members = np.flatnonzero(parts == np.bincount(parts).argmax())
        inner, _ = graph.without(np.flatnonzero(parts != parts[members[0]]))
        return members[_candidates(inner)]
    vector = fiedler(graph)
    jumps = (vector[graph.edges[:, 0]] - vector[graph.edges[:, 1]]) ** 2
    lost = np.bincount(graph.edges.ravel(), weights=np.repeat(jumps, 2), minlength=graph.n)
    left = (jumps.sum() - lost) / (1 - vector**2)
    return np.sort(np.argsort(left.round(9), kind="stable")[:TRIED])


def _left(graph: Graph, peer: int) -> tuple[float, int]:
    """The algebraic connectivity without this peer, and the number of pairs that reach each other then."""
    rest, _ = graph.without([peer])
    return round(connectivity(rest), 9), int((np.bincount(rest.parts()) ** 2).sum())
