"""The majority vote over signs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sensitivity import RELATIONS
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from robustfl.privacy.releases import Relation


@dataclass(frozen=True, kw_only=True)
class SignMajority(CoordinateWise):
    """Majority vote over signs (signSGD): every update votes on the sign of every coordinate.

    Formula: ``y_j = step sign(sum_i sign(x_ij))``, with sign(0) = 0; a coordinate without a majority is 0.

    The result is no estimate of the mean. Every coordinate of it is -step, 0 or step, whatever the size of the updates.
    So the server should either have a learning rate of its own, such as 1e-4 to 1e-3, or use a `step` of that size.

    Shapes: [n, d] -> [d]. Cost: one pass over the data. Clients may send only signs, which take one bit per coordinate.

    Guarantee: for n >= 2f + 1, a sign on which more than n/2 honest updates agree is the answer, whatever f other
    clients send. The result is no longer than step sqrt(d). Breakdown point: just under 1/2.

    Sensitivity: none for the signs, as one vote turns them; :meth:`vote_sensitivity` is that of the sum of all votes.

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
    guarantee: ClassVar[str] = "the result has the sign on which more than n/2 honest rows agree; unit steps"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where the size of a step matters, as only signs are counted; or where clients hold different data, as "
        "votes then cancel out"
    )
    no_sensitivity: ClassVar[str] = "one vote turns the sign of a coordinate: up to 2 step sqrt(d), whatever n"
    reference: ClassVar[str] = (
        "Bernstein et al., signSGD with Majority Vote is Communication Efficient and Fault Tolerant, ICLR 2019"
    )

    step: Annotated[float, Gt(0), Doc("magnitude of every coordinate of the result that has a majority")] = 1.0

    @property
    def unclaimed(self) -> frozenset[str]:
        """Signs are measured from zero and do not depend on the size of the values."""
        return frozenset({"translation", "scaling", "consensus", "box"})

    @staticmethod
    def vote_sensitivity(d: int, *, relation: Relation = "replace_one") -> float:
        """How far one client moves the sum of votes ``sum_i sign(x_ij)`` over d coordinates, in L2 norm.

        Formula: ``2 sqrt(d)``, as every vote is at most 1 and may turn; ``sqrt(d)`` where a client that is absent has
        votes of 0. n is public. Whoever adds noise to this sum, and takes signs afterwards, needs no clip.

        Raises ParameterError if d is negative, or the relation is unknown.

        >>> SignMajority.vote_sensitivity(100), SignMajority.vote_sensitivity(100, relation="add_or_remove")
        (20.0, 10.0)
        """
        if d < 0 or relation not in RELATIONS:
            raise ParameterError(f"`d` should be at least 0, `relation` one of {RELATIONS}. Found d={d}, {relation!r}.")
        return (1 if relation == "add_or_remove" else 2) * math.sqrt(d)

    def columns(self, block: Array, ops: Kernels) -> Array:
        return self.step * sign_vote(block, ops)


def sign_vote(block: Array, ops: Kernels) -> Array:
    """The sign of the sum of signs of each column: -1, 0 or 1, as a float."""
    total = ops.sign_sum(block)
    return total / (abs(total) + (total == 0))
