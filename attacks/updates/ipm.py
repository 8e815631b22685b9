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
    """Inner product manipulation (IPM, "fall of empires"): a multiple of the honest mean, backwards.

    Formula: ``v = -epsilon mean(H)``. A small epsilon (0.1 to 0.5) hides among the honest updates and wins selection
    rules; a large one (2 to 100) defeats averaging: the plain mean reverses iff ``f epsilon > h``.

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
    label_parameters: ClassVar[tuple[str, ...]] = ("epsilon",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    epsilon: Annotated[float, Gt(0), Doc("multiple of the reversed honest mean")] = 0.5

    def vector(self, view: View) -> Tensor:
        return -self.epsilon * view.mean()
