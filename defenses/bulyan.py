"""Bulyan: Krum selects rows, and each coordinate is averaged around their median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.sensitivity import TIE
from robustfl.aggregation.updates.order import by_id
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class Bulyan(Aggregator):
    """Bulyan: Krum selects n-2f updates one by one; each coordinate averages the n-4f values nearest to their median.

    Formula: S starts empty. n-2f times, the row of smallest Krum score among the m rows that are left joins S; the
    score sums the squared distances to the ``max(1, m-f-2)`` nearest of those rows (ties: the lower id). Then
    ``y_j = mean(x_ij, i in N_j)``, where N_j holds the n-4f rows of S with the smallest ``|x_ij - median_j(S)|``.
    ``f=0`` is the mean.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, n^3 after it, and one pass with two partial sorts per column.
    `info["selected"]` holds the ids of S in the order of their selection, or the numbers of the rows where a
    pre-aggregation has mixed them.

    Guarantee: for n >= 4f + 3 every coordinate is as near to the honest ones as their spread allows, even when d is so
    large that Krum alone lets one coordinate be far off. When a score counts only one neighbour (towards the end, for
    f <= 2), the two nearest rows always tie, so the clients' ids can matter; who answers first never
    does. Breakdown point: (n - 3)/4 rows.

    References
    ----------
    E. M. El Mhamdi, R. Guerraoui, S. Rouault. The Hidden Vulnerability of Distributed Learning in Byzantium. ICML 2018.

    Examples
    --------
    >>> from robustfl.defenses import Bulyan
    >>> updates = [[1.0], [1.1], [1.2], [1.3], [1.4], [1.6], [1e9]]
    >>> Bulyan(f=1)(updates).round(3).tolist()
    [1.2]
    """

    requires: ClassVar[tuple[int, int]] = (4, 3)
    guarantee: ClassVar[str] = "each coordinate is near honest ones, in any dimension, while n >= 4f + 3"
    breakdown: ClassVar[str] = "(n - 3)/4"
    unfit: ClassVar[str] = (
        "with fewer than 4f + 3 clients, or where each client holds data that others lack: what is rare among "
        "clients is cut from every coordinate"
    )
    no_sensitivity: ClassVar[str] = TIE
    reference: ClassVar[str] = (
        "El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium, ICML 2018"
    )

    f: ByzantineCount

    @property
    def unclaimed(self) -> frozenset[str]:
        """For f <= 2 the last scores count one neighbour: the two nearest rows tie, and the lower id is selected."""
        return frozenset({"permutation", "names"}) if 0 < self.f <= 2 else frozenset()

    def _aggregate(self, rows: Rows) -> Outcome:
        selected = select(rows.gram.squared_distances, self.f, by_id(rows.ids))
        kept, count = sorted(selected), rows.n - 4 * self.f

        def mean_around_median(block: Array, ops: Kernels) -> Array:
            chosen = block[kept]
            return ops.mean_around(chosen, ops.median(chosen, exact=True), count)

        names = rows.source.ids if rows.mixing is None else range(rows.n)
        info = {"selected": [names[row] for row in selected]}
        return Outcome(rows.columnwise(mean_around_median), info=info)


def select(squared_distances: Floats, f: int, ranking: NDArray[np.intp]) -> list[int]:
    """The n-2f rows that Krum picks one after the other, each from the rows that are left.

    Of rows with equal scores the one that comes first in the `ranking` is picked.
    """
    n = len(squared_distances)
    others = squared_distances + np.diag(np.full(n, np.inf))
    order = np.argsort(others, axis=1, kind="stable")
    ascending = np.take_along_axis(others, order, axis=1)
    left = np.ones(n, dtype=np.bool_)
    selected: list[int] = []
    while len(selected) < n - 2 * f:
        candidates = ranking[left[ranking]]
        present = left[order[candidates]]
        nearest = present & (np.cumsum(present, axis=1) <= max(1, len(candidates) - f - 2))
        scores = np.sum(ascending[candidates], axis=1, where=nearest)
        selected.append(int(candidates[np.argmin(scores)]))
        left[selected[-1]] = False
    return selected
