"""The robust learning rate: coordinates on which too few updates agree change their sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels

from .sign_majority import sign_vote


@dataclass(frozen=True, kw_only=True)
class RobustLearningRate(CoordinateWise):
    """Robust learning rate (RLR): where too few updates agree on a sign, the server steps in the other direction.

    Formula: ``y_j = base(X)_j`` if ``|sum_i sign(x_ij)| >= threshold``, else ``-base(X)_j``, with sign(0) = 0. The base
    is the mean, the median or the sign vote of the column. ``threshold=0`` is the base alone. The published thresholds
    are 4 for 10 clients of which 1 is corrupt, and 8 for 40 clients of which 4 are corrupt.

    Shapes: [n, d] -> [d]. Cost: one pass over the data.

    Guarantee: the rule is made against backdoors, where a few clients push coordinates that the others leave at zero.
    For ``f < threshold <= n - 2f`` it changes the sign of every coordinate on which the honest updates are zero or
    cancel out, and of no coordinate on which they all agree. When the base is the mean, one large row moves the result
    anywhere.

    References
    ----------
    M. S. Ozdayi, M. Kantarcioglu, Y. R. Gel. Defending against Backdoors in Federated Learning with Robust Learning
    Rate. AAAI 2021.

    Examples
    --------
    >>> from robustfl.defenses import RobustLearningRate
    >>> RobustLearningRate(threshold=3)([[1.0, 0.5], [2.0, -0.5], [3.0, 6.0]]).tolist()
    [2.0, -2.0]
    """

    guarantee: ClassVar[str] = "never flips a coordinate on which all honest rows agree while n >= 2f + threshold"
    breakdown: ClassVar[str] = "the breakdown point of the base: none for the mean, < 1/2 for the median"
    unfit: ClassVar[str] = (
        "against large updates when the base is the mean, as it then only changes signs; and where honest clients "
        "differ, as coordinates without agreement are trained backwards"
    )
    no_sensitivity: ClassVar[str] = "one vote turns the sign of a coordinate, whatever its size"
    reference: ClassVar[str] = (
        "Ozdayi et al., Defending against Backdoors in Federated Learning with Robust Learning Rate, AAAI 2021"
    )

    threshold: Annotated[
        int, Ge(0), Doc("a coordinate keeps its sign if positive and negative votes differ by at least this number")
    ]
    base: Annotated[
        Literal["mean", "median", "sign"],
        Doc("the rule whose result keeps or changes its sign, coordinate by coordinate"),
    ] = "mean"

    def precondition(self) -> tuple[int, int]:
        return 2, max(1, self.threshold)  # with fewer rows every coordinate would change its sign

    @property
    def unclaimed(self) -> frozenset[str]:
        """Signs are measured from zero, and where they disagree, the result can lie outside the range of the rows."""
        own = {"translation", "box"}
        if self.base == "mean":
            own |= {"breakdown"}
        if self.base == "sign":
            own |= {"scaling", "consensus"}
        return frozenset(own)

    def columns(self, block: Array, ops: Kernels) -> Array:
        turned = abs(ops.sign_sum(block)) < self.threshold
        value = self._base(block, ops)
        return value - 2 * value * turned

    def _base(self, block: Array, ops: Kernels) -> Array:
        if self.base == "mean":
            return ops.combine(np.full(len(block), 1.0 / len(block)), block)
        return ops.median(block) if self.base == "median" else sign_vote(block, ops)
