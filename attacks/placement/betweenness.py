"""Malicious peers on most shortest paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.centrality import betweenness
from robustfl.graphs.graph import Graph
from robustfl.threats import Placement


@dataclass(frozen=True, kw_only=True)
class Betweenness(Placement):
    """The peers with the largest betweenness: the share of shortest paths between others that lead through them.

    Of equal ones, those with the lower numbers are taken. Above 2,000 peers, the paths from 500 random peers stand for
    those from all.

    References
    ----------
    L. C. Freeman. A set of measures of centrality based on betweenness. Sociometry, 1977.

    Examples
    --------
    >>> from robustfl.attacks import Betweenness
    >>> chain = Graph(n=5, edges=[(0, 1), (1, 2), (2, 3), (3, 4)])
    >>> Betweenness().choose(chain, 2, np.random.default_rng(0)).tolist()
    [2, 1]
    """

    unfit: ClassVar[str] = (
        "in networks whose peers are all alike, such as rings and complete ones, where the numbers of peers decide"
    )

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        return np.argsort(-betweenness(graph, rng).round(9), kind="stable")[:f]
