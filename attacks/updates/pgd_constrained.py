"""Poisoned training that stays near the global model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import LocalAttack, View
from robustfl.threats.updates.local_training import Start, within

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PGDConstrained(LocalAttack):
    """PGD-constrained: malicious clients train by projected gradient descent in a ball around the global model.

    Formula: in round t, after every `project_every` local steps and after the last one, the model X is moved to the
    nearest point of the ball ``||X - w||_p <= radius decay^t`` with p = 2 or infinity. The client sends `boost` times
    its change.

    Knowledge: the malicious clients' own data and the global model.

    References
    ----------
    H. Wang et al. Attack of the Tails: Yes, You Really Can Backdoor Federated Learning. NeurIPS 2020.
    Z. Sun, P. Kairouz, A. T. Suresh, H. B. McMahan. Can You Really Backdoor Federated Learning? 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import BadNets, PGDConstrained
    >>> str(BadNets(target=7) >> PGDConstrained(radius=1.0))  # trains on stamped images, within a distance of 1
    'BadNets(target=7) > PGDConstrained(radius=1)'
    >>> PGDConstrained(boost=3.0)(np.zeros((2, 2)), f=1, own=np.ones((1, 2))).tolist()
    [[3.0, 3.0]]
    """

    label: ClassVar[str] = "PGDConstrained"
    reference: ClassVar[str] = (
        "Wang et al., Attack of the Tails: Yes, You Really Can Backdoor Federated Learning, NeurIPS 2020"
    )
    unfit: ClassVar[str] = (
        "alone, as it only says how malicious clients train: put poisoned data before it, such as `edge_case`"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("radius",)

    radius: Annotated[float, Gt(0), Doc("largest distance from the global model in the first round")] = 2.0
    norm: Annotated[Literal["l2", "linf"], Doc("norm in which the distance is measured")] = "l2"
    project_every: Annotated[int, Ge(1), Doc("number of local steps from one projection to the next")] = 10
    decay: Annotated[float, Gt(0), Le(1), Doc("factor by which the radius is multiplied in every round")] = 1.0
    boost: Annotated[float, Gt(0), Doc("factor on the update that is sent")] = 1.0

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        change = super().follow(change, gradient, step, start)
        if (step + 1) % self.project_every == 0 or step + 1 == start.steps:
            change = within(change, self.radius * self.decay**start.round, self.norm)
        return change

    def craft(self, view: View) -> Tensor:
        return view.own * self.boost
