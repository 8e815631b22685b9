"""The coordinate-wise median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sensitivity import TIE


@dataclass(frozen=True, kw_only=True)
class Median(CoordinateWise):
    """The coordinate-wise median: each coordinate takes its middle value.

    Formula: ``y_j = median(x_1j, ..., x_nj)``. For even n it is the average of the two middle values, as in numpy
    (``torch.median`` takes the lower one).

    Shapes: [n, d] -> [d]. Cost: one pass over the data with a selection per column.

    Guarantee: for n >= 2f + 1 every coordinate lies between honest values, and the rule is (f, kappa)-robust with
    kappa = (n - 1)/(n + 1 - 2f) for odd n and (n - 2)/(n + 2 - 2f) for even n. Breakdown point: just under 1/2.

    References
    ----------
    D. Yin, Y. Chen, K. Ramchandran, P. Bartlett. Byzantine-Robust Distributed Learning: Towards Optimal Statistical
    Rates. ICML 2018.

    Examples
    --------
    >>> from robustfl.defenses import Median
    >>> Median()([[1.0, 2.0], [3.0, 6.0], [1e9, -1e9]]).tolist()
    [3.0, 2.0]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "each coordinate lies between honest values while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where most clients send 0 in a coordinate, as with sparse or pruned updates: what few clients know is "
        "never learnt; and with very different data"
    )
    no_sensitivity: ClassVar[str] = TIE
    reference: ClassVar[str] = (
        "Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018"
    )

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.median(block)
