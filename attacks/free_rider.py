"""Clients that send noise without having done any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FreeRider(UpdateAttack):
    """Free rider: malicious clients own no data and send uniform noise, to get the others' work for nothing.

    Formula: ``v_i ~ U(-scale, scale)``, each entry on its own.

    Knowledge: none. Without a reward to earn it is a weak attack: what it tests is who gets something in return.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import FreeRider
    >>> bool((abs(FreeRider(scale=0.5)(np.zeros((8, 3)), f=2)) <= 0.5).all())
    True
    """

    reference: ClassVar[str] = "Xu and Lyu, A Reputation Mechanism Is All You Need, FL-ICML 2021"
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    scale: Annotated[float, Gt(0), Doc("largest magnitude of an entry")] = 1.0

    def craft(self, view: View) -> Tensor:
        return view.full(0.0).new_tensor(view.rng.uniform(-self.scale, self.scale, (view.f, view.d)))
