"""Updates made longer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Scaling(UpdateAttack):
    """Scaling (boosting): malicious clients multiply their own update, so that it outweighs the others'.

    Formula: ``v_i = factor o_i``. Against the plain mean a factor of n over f times the server's rate puts the
    attackers' own model in the place of the global one; rules that bound lengths see nothing but a direction.

    Knowledge: own updates.

    References
    ----------
    E. Bagdasaryan, A. Veit, Y. Hua, D. Estrin, V. Shmatikov. How To Backdoor Federated Learning. AISTATS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Scaling
    >>> Scaling(factor=3.0)(np.zeros((4, 2)), f=1, own=np.array([[1.0, -2.0]])).tolist()
    [[3.0, -6.0]]
    """

    reference: ClassVar[str] = "Bagdasaryan et al., How To Backdoor Federated Learning, AISTATS 2020"
    label_parameters: ClassVar[tuple[str, ...]] = ("factor",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    factor: Annotated[float, Gt(0), Doc("how much longer the update becomes")] = 10.0

    def craft(self, view: View) -> Tensor:
        return self.factor * view.own
