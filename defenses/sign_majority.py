"""The majority vote over signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels


@dataclass(frozen=True, kw_only=True)
class SignMajority(CoordinateWise):
    """Majority vote over signs (signSGD): every update votes on the sign of every coordinate.

    Formula: ``y_j = step sign(sum_i sign(x_ij))``, with sign(0) = 0; a coordinate without a majority is 0.

    This estimates no mean. Every coordinate of the result is -step, 0 or step, whatever the size of the updates, so
    either the server should have a learning rate of its own, such as 1e-4 to 1e-3, or `step` be as small.

    Shapes: [n, d] -> [d]. Cost: one pass over the data; clients may send signs only, one bit a coordinate.

    Guarantee: where more than n/2 honest updates agree on a sign, that is the answer whatever f others send, for
    n >= 2f + 1; the result is no longer than step sqrt(d). Breakdown point: just under 1/2.

    References
    ----------
    J. Bernstein, J. Zhao, K. Azizzadenesheli, A. Anandkumar. signSGD with Majority Vote is Communication Efficient and
    Fault Tolerant. ICLR 2019.

    Examples
    --------
    >>> from robustfl.defenses import SignMajority
    >>> SignMajority()([[0.1, -2.0, 0.0], [0.3, -1.0, 5.0], [-1e9, 1e9, -5.0]]).tolist()
    [1.0, -1.0, 0.0]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "the sign that more than n/2 honest rows agree on stands; unit steps"
    breakdown: ClassVar[str] = "< 1/2"
    reference: ClassVar[str] = (
        "Bernstein et al., signSGD with Majority Vote is Communication Efficient and Fault Tolerant, ICLR 2019"
    )

    step: Annotated[float, Gt(0), Doc("by how much every coordinate moves")] = 1.0

    @property
    def unclaimed(self) -> frozenset[str]:
        """Signs know neither a place nor a size."""
        return frozenset({"translation", "scaling", "consensus", "box"})

    def columns(self, block: Array, ops: Kernels) -> Array:
        return self.step * sign_vote(block, ops)


def sign_vote(block: Array, ops: Kernels) -> Array:
    """The sign of the sum of signs of each column, -1, 0 or 1 as a float."""
    total = ops.sign_sum(block)
    return total / (abs(total) + (total == 0))
