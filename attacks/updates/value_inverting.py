"""Updates in which small entries become large, and large entries become small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ValueInverting(UpdateAttack):
    """Value inverting: malicious clients replace entries of their own update by their reciprocals.

    Formula: each entry becomes ``v_ij = sign(o_ij)/(|o_ij| + floor)`` with probability `probability`, independently of
    the others, and stays ``o_ij`` otherwise. The signs stay, but the entries that mattered least now decide the
    direction. Reciprocals that the type of the updates cannot hold become its largest number.

    Knowledge: the malicious clients' own updates.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ValueInverting
    >>> ValueInverting(probability=1.0)(np.zeros((4, 3)), f=1, own=np.array([[0.5, -2.0, 4.0]])).round(6).tolist()
    [[2.0, -0.5, 0.25]]
    """

    reference: ClassVar[str] = "Xu and Lyu, A Reputation Mechanism Is All You Need, FL-ICML 2021"
    unfit: ClassVar[str] = (
        "as evidence of robustness: reciprocals of small entries make very long rows, which any rule that looks at "
        "lengths sees"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    probability: Annotated[float, Gt(0), Le(1), Doc("chance that an entry is inverted")] = 0.5
    floor: Annotated[
        float, Gt(0), Doc("number added to each magnitude before the division, so that 0 becomes 1/floor")
    ] = 1e-10

    def craft(self, view: View) -> Tensor:
        import torch

        own = view.own
        exact = own.double()  # half precision has no 1e-10
        # zero counts as positive; adding the floor away from zero keeps -floor from becoming a division by zero
        inverted = torch.where(exact < 0, -1.0, 1.0) / (exact.abs() + self.floor)
        largest = torch.finfo(own.dtype).max
        chosen = torch.as_tensor(view.rng.random(tuple(own.shape)) < self.probability, device=own.device)
        return torch.where(chosen, inverted.clamp(-largest, largest).to(own.dtype), own)
