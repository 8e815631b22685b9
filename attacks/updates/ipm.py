"""Inner product manipulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class IPM(TiledAttack):
    """Inner product manipulation (IPM, "fall of empires"): a negative multiple of the honest mean.

    Formula: ``v = -epsilon mean(H)``. With a small epsilon (0.1 to 0.5) the update hides among the honest ones, and
    selection rules select it. A large epsilon (2 to 100) defeats averaging: the plain mean is reversed if and only if
    ``f epsilon > h``.

    Knowledge: all honest updates.

    References
    ----------
    C. Xie, O. Koyejo, I. Gupta. Fall of Empires: Breaking Byzantine-Tolerant SGD by Inner Product Manipulation.
    UAI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import IPM
    >>> IPM(epsilon=0.5)(np.array([[1.0, 2.0], [3.0, 4.0]]), f=1).tolist()
    [[-1.0, -1.5]]
    """

    reference: ClassVar[str] = (
        "Xie et al., Fall of Empires: Breaking Byzantine-Tolerant SGD by Inner Product Manipulation, UAI 2019"
    )
    unfit: ClassVar[str] = (
        "with one epsilon alone: a small one hides and does a mean little harm, and a large one defeats a mean and "
        "is dropped by rules that select"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("epsilon",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    epsilon: Annotated[float, Gt(0), Doc("factor on the reversed honest mean")] = 0.5

    def vector(self, view: View) -> Tensor:
        return -self.epsilon * view.mean()
