"""Letters that are crafted as steps in place of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats.peers.space import Space

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class InSteps(Space):
    """In steps: the attack sees how far each model is from the victim's before its step, and crafts such a step.

    Formula: ``v = theta_i + A(x_j - theta_i)``, where theta_i is the model of victim i before its own step, x_j are the
    models that peers send, and A is the attack that follows. Crafted in models, a reversed mean pulls towards the
    origin; crafted in steps, it pulls back to where the victim was. Neither is always stronger.

    Examples
    --------
    >>> from robustfl.attacks import InSteps, SignFlip
    >>> print(InSteps() >> SignFlip(mode="mean"))
    InSteps > SignFlip(mode=mean)
    """

    unfit: ClassVar[str] = (
        "alone, as it only says in which space the attack behind it is crafted; or in place of attacks that are "
        "crafted in models, as neither is always stronger"
    )

    def shown(self, models: Tensor, before: Tensor) -> Tensor:
        return models - before

    def sent(self, crafted: Tensor, before: Tensor) -> Tensor:
        return crafted + before
