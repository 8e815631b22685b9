"""The coordinate-wise trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class TrimmedMean(CoordinateWise):
    """The coordinate-wise trimmed mean (CWTM): the mean without the f smallest and f largest values of a coordinate.

    Formula: ``y_j = (1/(n - 2f)) sum_{k=f+1}^{n-f} x_(k)j`` over the ascending order of column j. ``f=0`` is the mean.

    Shapes: [n, d] -> [d]. Cost: one pass over the data with a partial sort per column.

    Guarantee: for n >= 2f + 1 the rule is (f, kappa)-robust with kappa = f/(n - 2f), the best constant that any rule
    can have. Breakdown point: just under 1/2.

    Sensitivity: ``2 clip/(n - 2f)``. As a function of one value v of a column, the sum of the values that are kept is a
    constant plus v clipped to the interval between its neighbours of rank f and n - f among the others. It moves by no
    more than v does, in every coordinate, so the result moves by 1/(n - 2f) of the row at most. It is reached.

    References
    ----------
    D. Yin, Y. Chen, K. Ramchandran, P. Bartlett. Byzantine-Robust Distributed Learning: Towards Optimal Statistical
    Rates. ICML 2018.

    Examples
    --------
    >>> from robustfl.defenses import TrimmedMean
    >>> TrimmedMean(f=1)([[1.0], [2.0], [3.0], [1e9]]).tolist()
    [2.5]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "(f, kappa)-robust with the optimal kappa = f/(n - 2f) while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where f may be larger than it was told: one attacker more than f is averaged in every coordinate, at any size"
    )
    reference: ClassVar[str] = (
        "Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018"
    )

    f: ByzantineCount

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.trimmed_mean(block, self.f)

    def moved(self, change: Change) -> Term:
        return change.moved.over(change.n - 2 * self.f, f"{change.rows.formula} - 2f")
