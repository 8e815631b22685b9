"""Malicious peers with most neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.graph import Graph
from robustfl.threats import Placement


@dataclass(frozen=True, kw_only=True)
class Degree(Placement):
    """The peers with most neighbours; of equal ones, those with the lower numbers.

    Examples
    --------
    >>> from robustfl.attacks import Degree
    >>> chain = Graph(n=4, edges=[(0, 1), (1, 2), (2, 3)])
    >>> Degree().choose(chain, 1, np.random.default_rng(0)).tolist()
    [1]
    """

    unfit: ClassVar[str] = (
        "in regular networks, where all peers have equally many neighbours and the lower numbers are taken"
    )

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        return np.argsort(-graph.degree, kind="stable")[:f]
