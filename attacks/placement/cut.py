"""Malicious peers at the ends of the weakest cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.graphs.graph import Graph
from robustfl.graphs.spectrum import fiedler
from robustfl.threats import Placement


@dataclass(frozen=True, kw_only=True)
class Cut(Placement):
    """The peers with most edges across the weakest cut of the network, which the signs of the Fiedler vector tell.

    Of peers with equally many, those are taken first whose edges across the cut are longest in the Fiedler vector
    (``sum_j |v_i - v_j|``), and then those with the lower numbers. What one side of the network learns, the other side
    hears through these peers. On expanders there is no weak cut, and the placement is little better than chance.

    References
    ----------
    M. Fiedler. A property of eigenvectors of nonnegative symmetric matrices and its application to graph theory.
    Czechoslovak Mathematical Journal, 1975.

    Examples
    --------
    >>> from robustfl.attacks import Cut
    >>> triangles = Graph(n=6, edges=[(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)])
    >>> Cut().choose(triangles, 2, np.random.default_rng(0)).tolist()
    [2, 3]
    """

    unfit: ClassVar[str] = "in expanders, which have no weak cut: there the placement is little better than chance"

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        vector = fiedler(graph).round(9)
        one, other = graph.edges.T
        across = (vector[one] < 0) != (vector[other] < 0)
        one, other = one[across], other[across]
        ends, jumps = np.concatenate([one, other]), np.tile(np.abs(vector[one] - vector[other]), 2)
        count = np.bincount(ends, minlength=graph.n)
        length = np.bincount(ends, weights=jumps, minlength=graph.n).round(6)
        return np.lexsort((np.arange(graph.n), -length, -count))[:f]
