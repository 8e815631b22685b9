"""Malicious peers anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.graph import Graph
from robustfl.threats import Placement


@dataclass(frozen=True, kw_only=True)
class RandomPeers(Placement):
    """Random places: every choice of f peers is equally likely. It is what happens without a placement.

    Examples
    --------
    >>> from robustfl.attacks import RandomPeers
    >>> ring = Graph(n=6, edges=[(peer, (peer + 1) % 6) for peer in range(6)])
    >>> sorted(RandomPeers().choose(ring, 2, np.random.default_rng(0)).tolist())
    [3, 4]
    """

    unfit: ClassVar[str] = (
        "as the worst case: the same number of malicious peers does more harm at a weak cut, see `cut`"
    )

    name: ClassVar[str] = "random"

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        return rng.choice(graph.n, size=f, replace=False)
