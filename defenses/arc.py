"""Adaptive robust clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustfl.aggregation import RowMap, Rows
from robustfl.aggregation.kernels.base import Floats
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
    reference: ClassVar[str] = "Allouah et al., Adaptive Gradient Clipping for Robust Federated Learning, ICLR 2025"

    f: ByzantineCount

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from the origin, and long rows are moved towards it."""
        return frozenset({"translation", "box"})

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        n = rows.n
        clipped = 2 * self.f * (n - self.f) // n  # in integers: a floating-point quotient may fall below a whole number
        norms = np.sqrt(rows.squared_norms)
        radius = np.sort(norms)[n - 1 - clipped]
        return np.diag(np.divide(radius, norms, out=np.ones(n), where=norms > radius)), None
