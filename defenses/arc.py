"""Adaptive robust clipping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from robustfl.aggregation import RowMap, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import Change, Unbounded
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class ARC(RowMap):
    """Adaptive robust clipping: the k longest updates are scaled back to the norm of the next longest one.

    Formula: ``y_i = x_i min(1, C/||x_i||)`` with C the (k+1)-th largest norm and ``k = floor(2 f (n - f)/n)``, computed
    in integers. ``f=0`` changes nothing.

    Shapes: [n, d] -> [n, d]. Cost: the norms and n log n. In front of a geometric rule, the clipped rows are never
    formed. The input is not modified.

    Guarantee: ARC >> F is (f, 3 kappa_F)-robust for n >= 2f + 1; clipping to a fixed radius is not. As k >= f, no row
    stays longer than the longest honest one. ARC is made to stand in front of rules such as ``NNM >> TrimmedMean``.

    Sensitivity: all new rows together move by ``max(2, k + 1) clip``. The radius is the norm of the replaced row, kept
    between the norms of rank k and k + 1 among the others. It falls from R to R' at most. Only the k longest others
    move then, each by R - R', and the replaced row by R + R' at most. The sum ``k (R - R') + R + R'`` is largest at
    ``R = clip`` with R' either 0 or R. In front of the mean that is reached. It falls with n only where f does not grow
    with n. Where an absent row is zero, its new row moves by R alone, and all together by ``(k + 1) clip``.

    References
    ----------
    Y. Allouah, R. Guerraoui, N. Gupta, A. Jellouli, G. Rizk, J. Stephan. Adaptive Gradient Clipping for Robust
    Federated Learning. ICLR 2025.

    Examples
    --------
    >>> from robustfl.defenses import ARC
    >>> [row.tolist() for row in ARC(f=1)([[3.0, 4.0], [0.0, 1.0], [30.0, 40.0]])]
    [[3.0, 4.0], [0.0, 1.0], [3.0, 4.0]]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "ARC >> F is (f, 3 kappa_F)-robust while n >= 2f + 1"
    breakdown: ClassVar[str] = "the breakdown point of the next rule"
    unfit: ClassVar[str] = (
        "alone, as it limits lengths and no directions: f rows of usual length still point anywhere in front of "
        "the mean"
    )
    reference: ClassVar[str] = "Allouah et al., Adaptive Gradient Clipping for Robust Federated Learning, ICLR 2025"

    f: ByzantineCount

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from the origin, and long rows are moved towards it."""
        return frozenset({"translation", "box"})

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        norms = np.sqrt(rows.squared_norms)
        radius = np.sort(norms)[rows.n - 1 - self._clipped(rows.n)]
        return np.diag(np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius)), None

    def _clipped(self, n: int) -> int:
        """The number k of rows that are scaled back, of n."""
        return 2 * self.f * (n - self.f) // n  # in integers: a floating-point quotient may fall below a whole number

    def carried(self, change: Change) -> Change | Unbounded:
        if change.changed > 1:
            return self.unknown("the radius is data, and rows that have all moved may set it to anything")
        n, longest = change.rows.formula, self._clipped(change.n)
        count, told = longest + 1, f"floor(2f({n} - f)/{n}) + 1"
        every = (count, f"({told})") if change.cleared else (max(2, count), f"max(2, {told})")
        return replace(change, changed=count, moved=change.length.times(*every), cleared=False)
