"""Updates that are made longer."""

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

    Formula: ``v_i = factor o_i``. Against the plain mean, the factor ``n/(f rate)``, with the server's learning rate,
    replaces the global model by the malicious clients' own model. Rules that bound lengths see only a direction.

    Knowledge: the malicious clients' own updates.

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
    unfit: ClassVar[str] = "against rules that bound lengths, which see no more than an honest direction"
    label_parameters: ClassVar[tuple[str, ...]] = ("factor",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    factor: Annotated[float, Gt(0), Doc("factor by which the update becomes longer")] = 10.0

    def craft(self, view: View) -> Tensor:
        return self.factor * view.own
