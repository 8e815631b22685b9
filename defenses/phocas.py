"""Phocas: the mean around the trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sensitivity import JUMP
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class Phocas(CoordinateWise):
    """Phocas: the mean of the n-f values of each coordinate that are nearest to its trimmed mean.

    Formula: ``y_j = mean(x_ij, i in N_j)``, where N_j holds the n-f rows with the smallest ``|x_ij - t_j|`` (ties: the
    lower row), and t_j is the mean of column j without its f smallest and f largest values. ``f=0`` is the mean.

    Shapes: [n, d] -> [d]. Cost: one pass over the data with two partial sorts per column.

    Guarantee: for n >= 2f + 1 every value that is averaged is as near to the trimmed mean as some honest value of its
    coordinate, so the result stays bounded whatever f rows hold. No kappa is published; the worst ratio that a search
    has found is 2.67 at (n, f) = (7, 2) and 3.97 at (9, 3). Breakdown point: just under 1/2.

    References
    ----------
    C. Xie, O. Koyejo, I. Gupta. Phocas: dimensional Byzantine-resilient stochastic gradient descent. 2018
    (arXiv:1805.09682).

    Examples
    --------
    >>> from robustfl.defenses import Phocas
    >>> Phocas(f=1)([[1.0], [2.0], [4.0], [1e9]]).round(3).tolist()
    [2.333]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "averages values as near to the trimmed mean as honest ones while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where honest values of a coordinate fall into groups, as with very different data: the values that are "
        "kept come from one of them"
    )
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = "Xie et al., Phocas: dimensional Byzantine-resilient stochastic gradient descent, 2018"

    f: ByzantineCount

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.mean_around(block, ops.trimmed_mean(block, self.f, exact=True), len(block) - self.f)
