"""Nearest-neighbour mixing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from robustfl.aggregation import Grams, RowMap, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import Change, Unbounded
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class NNM(RowMap):
    """Nearest-neighbour mixing: each update becomes the mean of the n-f updates nearest to it.

    Formula: ``y_i = (1/(n - f)) sum_{j in N(i)} x_j``, where N(i) holds the n-f rows nearest to row i, itself included
    (ties: the lower row).

    Shapes: [n, d] -> [n, d]. Cost: n^2 d for the Gram, and n^2 log n after it. In front of a geometric rule, the mixed
    rows are never formed.

    Guarantee: for n >= 2f + 1, NNM >> F is (f, kappa)-robust with kappa <= 8f/(n - f) (kappa_F + 1). NNM is made for
    heterogeneous clients.

    Sensitivity: a replaced row changes all new rows, which together move by ``2 clip (n - 1)/(n - f) + 2 clip``. In the
    order of distances from any other row, only the replaced row changes its place. So the other one exchanges at most
    one of its n - f neighbours, for one that is at most 2 clip away. The new row of the replaced one moves by at most
    2 clip. The bound is not tight. That an absent row is zero does not lower it.

    References
    ----------
    Y. Allouah, S. Farhadkhani, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. Fixing by Mixing: A Recipe for Optimal
    Byzantine ML under Heterogeneity. AISTATS 2023.

    Examples
    --------
    >>> from robustfl.defenses import NNM, Krum
    >>> [row.tolist() for row in NNM(f=1)([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])]
    [[2.5, 3.5, 4.5], [2.5, 3.5, 4.5], [5.5, 6.5, 7.5]]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "NNM >> F is (f, kappa)-robust with kappa <= 8f/(n - f) (kappa_F + 1)"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "alone, as it only prepares rows for a robust rule; or where f is not known even roughly, since n - f rows"
        " are mixed"
    )
    reference: ClassVar[str] = (
        "Allouah et al., Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity, AISTATS 2023"
    )

    f: ByzantineCount

    @property
    def geometric(self) -> bool:
        return True

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        return self._matrix(rows.gram.squared_distances), None

    def matrices_of_all(self, grams: Grams) -> Floats:
        return self._matrix(grams.squared_distances)

    def _matrix(self, squared: Floats) -> Floats:
        """The matrices [..., n, n] for rows with these squared distances."""
        n = squared.shape[-1]
        kept, distances, each = n - self.f, squared.copy(), np.arange(n)
        distances[..., each, each] = -1.0  # a row is its own nearest neighbour even among duplicates
        farthest = np.sort(distances, axis=-1)[..., kept - 1, None]  # several times as quick as the order itself
        nearest, tied = distances < farthest, distances == farthest
        room = kept - nearest.sum(axis=-1, keepdims=True)
        nearest |= tied & (tied.cumsum(axis=-1) <= room)
        return np.asarray(nearest * (1.0 / kept), dtype=np.float64)

    def carried(self, change: Change) -> Change | Unbounded:
        if change.changed > 1:
            return self.unknown("nearest neighbours of rows that have all moved may all be others")
        n = change.rows.formula
        exchanged = change.farthest.times(change.n - 1, f"({n} - 1)").over(change.n - self.f, f"{n} - f")
        return replace(change, changed=change.n, moved=exchanged.plus(change.farthest), cleared=False)
