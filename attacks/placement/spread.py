"""Malicious peers far from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.graph import Graph
from robustfl.threats import Placement


@dataclass(frozen=True, kw_only=True)
class Spread(Placement):
    """Peers as far from each other as possible, so that few honest peers are far from all of them.

    Method: the first peer is one with most neighbours. Each next one is the peer whose nearest chosen peer is most hops
    away; of equal ones, one with most neighbours, and then the one with the lower number.

    References
    ----------
    T. F. Gonzalez. Clustering to minimize the maximum intercluster distance. Theoretical Computer Science, 1985 (the
    method).

    Examples
    --------
    >>> from robustfl.attacks import Spread
    >>> ring = Graph(n=8, edges=[(peer, (peer + 1) % 8) for peer in range(8)])
    >>> Spread().choose(ring, 3, np.random.default_rng(0)).tolist()
    [0, 4, 2]
    """

    unfit: ClassVar[str] = (
        "where the question is what several malicious neighbours do to one peer, as it keeps them apart"
    )

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        chosen = [int(graph.degree.argmax())]
        while len(chosen) < f:
            hops = graph.hops(chosen)
            away = np.where(hops < 0, graph.n, hops)
            away[chosen] = -1
            chosen.append(int(np.lexsort((-graph.degree, -away))[0]))
        return np.array(chosen)
