"""What malicious peers at given places of a network can reach, see and cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.graphs.graph import Graph, Nodes
from robustfl.graphs.spectrum import connectivity


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Facts about a network some of whose peers are malicious.

    Attributes
    ----------
    honest : number of honest peers
    attack_edges : number of edges between honest and malicious peers
    local_bound : largest number of malicious neighbours of an honest peer
    touched : share of the honest peers who hear a malicious one
    observable : share of the honest peers whose exact updates colluding malicious peers can compute: they are next to
        the peer, and to all of its honest neighbours, so that they know all that it mixes
    parts : number of connected parts of the honest network
    largest_part : number of peers in the largest of them
    lonely : number of honest peers without an honest neighbour, unless there is one honest peer alone
    mu2 : algebraic connectivity of the honest network
    """

    honest: int
    attack_edges: int
    local_bound: int
    touched: float
    observable: float
    parts: int
    largest_part: int
    lonely: int
    mu2: float


def malicious_neighbours(graph: Graph, malicious: Sequence[int] | Nodes) -> Nodes:
    """How many malicious peers each peer hears, [n].

    >>> malicious_neighbours(Graph(n=3, edges=[(0, 1), (1, 2)]), [0, 2]).tolist()
    [0, 2, 0]
    """
    bad = _marked(graph, malicious)
    return np.asarray(graph.matrix.astype(np.int64) @ bad.astype(np.int64))


def observable(graph: Graph, malicious: Sequence[int] | Nodes) -> NDArray[np.bool_]:
    """Which honest peers' exact updates colluding malicious peers can compute, [n]; see :class:`Exposure`.

    A malicious peer learns the model of whom it hears.

    >>> observable(Graph(n=4, edges=[(0, 1), (1, 2), (2, 3)]), [0, 2]).tolist()
    [False, True, False, True]
    """
    bad = _marked(graph, malicious)
    seen = np.asarray(graph.matrix.T.astype(np.int64) @ bad.astype(np.int64)) > 0
    unseen = ~bad & ~seen
    missing = np.asarray(graph.matrix.astype(np.int64) @ unseen.astype(np.int64))
    found: NDArray[np.bool_] = ~bad & seen & (missing == 0)
    return found


def exposure(graph: Graph, malicious: Sequence[int] | Nodes) -> Exposure:
    """The facts about this network with these malicious peers.

    Raises ParameterError when a number is no peer or stands there twice, and when nobody is honest.

    >>> facts = exposure(Graph(n=5, edges=[(0, 1), (1, 2), (2, 3), (3, 4)]), [2])
    >>> facts.parts, facts.local_bound, facts.touched, facts.observable
    (2, 1, 0.5, 0.0)
    """
    bad = _marked(graph, malicious)
    counts = malicious_neighbours(graph, malicious)[~bad]
    rest, _ = graph.without(np.flatnonzero(bad))
    parts = rest.parts()
    one, other = bad[graph.edges[:, 0]], bad[graph.edges[:, 1]]
    return Exposure(
        honest=rest.n,
        attack_edges=int((one != other).sum()),
        local_bound=int(counts.max()),
        touched=float((counts > 0).mean()),
        observable=float(observable(graph, malicious)[~bad].mean()),
        parts=1 + int(parts.max()),
        largest_part=int(np.bincount(parts).max()),
        lonely=int((rest.degree == 0).sum()) if rest.n > 1 else 0,
        mu2=connectivity(rest),
    )


def _marked(graph: Graph, malicious: Sequence[int] | Nodes) -> NDArray[np.bool_]:
    given = np.asarray(malicious)
    fits = given.ndim == 1 and (not given.size or given.dtype.kind in "iu")
    if not fits or ((given < 0) | (given >= graph.n)).any() or len(set(given.tolist())) < len(given):
        shown = np.array2string(given, threshold=20)
        raise ParameterError(f"`malicious` should be different peers of 0 to {graph.n - 1}. Found {shown}.")
    bad = np.zeros(graph.n, dtype=np.bool_)
    bad[given.astype(np.int64)] = True
    return bad
