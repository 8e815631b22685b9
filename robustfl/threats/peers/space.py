"""In which space an attack on updates crafts the letters of a network of peers: the contract.

Peers send models, and an attack that is made for updates can be shown these models as they are, or something that it
makes more sense for. A stage before the attack decides that, as in ``InSteps() >> SignFlip()``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.threats.attack import Staged
from robustfl.threats.updates.contract import UpdateAttack
from robustfl.threats.updates.view import View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Space(Component, ABC):
    """What an attack on updates is shown in place of models, and how what it crafts becomes models again."""

    surface: ClassVar[str] = "peers"

    @abstractmethod
    def shown(self, models: Tensor, before: Tensor) -> Tensor:
        """What the attack sees of models [k, d]; `before` [d] is the victim's model before its own step."""

    @abstractmethod
    def sent(self, crafted: Tensor, before: Tensor) -> Tensor:
        """The models [f, d] that are sent for what the attack has crafted [f, d]."""

    def __rshift__(self, attack: Any) -> SpacedAttack:
        """The attack in this space."""
        if not isinstance(attack, UpdateAttack):
            raise ParameterError(f"{self!r} should stand before an attack on updates. Found {attack!r}.")
        return SpacedAttack(first=self, then=attack)


@dataclass(frozen=True, kw_only=True, repr=False)
class SpacedAttack(Staged, UpdateAttack):
    """An attack on updates that crafts letters of a network of peers in another space: `InSteps() >> SignFlip()`."""

    first: Space
    then: UpdateAttack
    start_round: int = field(default=0, init=False)
    stop_round: int | None = field(default=None, init=False)
    every: int = field(default=1, init=False)

    @property
    def needs_model(self) -> bool:
        return self.then.needs_model

    def fits(self, channel: str) -> bool:
        return channel == "peers" and self.then.fits(channel)

    def active(self, number: int) -> bool:
        return self.then.active(number)

    def craft(self, view: View) -> Tensor:
        return self.then.craft(view)


def in_space(attack: Any, space: Space) -> Any:
    """An attack whose letters are crafted in this space, whatever stands before it; None if it crafts none.

    An attack that names a space itself, or that is made for peers, crafts in its own.
    """
    if isinstance(attack, SpacedAttack):
        return None
    if hasattr(attack, "then"):
        then = in_space(attack.then, space)
        return None if then is None else replace(attack, then=then)
    return space >> attack if isinstance(attack, UpdateAttack) else None
