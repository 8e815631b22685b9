"""MeaMed: the mean around the median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sensitivity import JUMP
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class Meamed(CoordinateWise):
    """MeaMed: the mean of the n-f values of each coordinate that are nearest to its median.

    Formula: ``y_j = mean(x_ij, i in N_j)``, where N_j holds the n-f rows with the smallest ``|x_ij - median_j|`` (ties:
    the lower row). ``f=0`` is the mean.

    Shapes: [n, d] -> [d]. Cost: one pass over the data with two partial sorts per column.

    Guarantee: for n >= 2f + 1 every value that is averaged is as near to the median as some honest value of its
    coordinate, so the result stays bounded whatever f rows hold. No kappa is published; the worst ratio that a search
    has found is 3.20 at (n, f) = (7, 2) and 5.00 at (9, 3). Breakdown point: just under 1/2.

    References
    ----------
    C. Xie, O. Koyejo, I. Gupta. Generalized Byzantine-tolerant SGD. 2018 (arXiv:1802.10116).

    Examples
    --------
    >>> from robustfl.defenses import Meamed
    >>> Meamed(f=1)([[1.0], [2.0], [4.0], [1e9]]).round(3).tolist()
    [2.333]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "averages values as near to the median as honest ones while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where honest values of a coordinate fall into groups, as with very different data: all values near the "
        "median come from one of them"
    )
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = "Xie et al., Generalized Byzantine-tolerant SGD, 2018"

    f: ByzantineCount

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.mean_around(block, ops.median(block, exact=True), len(block) - self.f)
