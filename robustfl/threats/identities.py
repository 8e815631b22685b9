"""Under how many names an adversary's clients take part, and when: the contract of Sybil strategies.

A strategy stands before an attack, `Clones(count=5) >> LabelFlip()`, and composes with all of them: it decides who
sends a row, the attack decides what the row says. Behaving first and defecting later is the window of the attack
(`start_round`), not a strategy of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.threats.attack import Attack
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.knowledge import Knowledge


@dataclass(frozen=True, kw_only=True)
class Identities(Component, ABC):
    """Each of the adversary's clients takes part as `count` identities at a time, each with a row of its own.

    The federation grows by them, and defenses that are told f are told the number of malicious identities. Defenses
    tell clients apart by name only: an identity that changes its name leaves its history behind.

    A disguise hides that identities agree: every name keeps a unit direction of its own for the whole trial, and
    ``disguise`` times the mean length of the malicious rows along it is added to whatever it sends. Directions are
    orthogonal or opposite, in pairs that cancel in the mean when all identities (an even number) take part.
    """

    surface: ClassVar[str] = "identities"

    count: Annotated[int, Ge(1), Doc("identities of each malicious client at a time")] = 5
    shared: Annotated[
        Literal["update", "data"],
        Doc("what a client's identities have in common: one update, or the data on which each trains by itself"),
    ] = "update"
    outside: Annotated[
        bool, Doc("whether attackers come on top of the clients, with copies of all data, or are some of the clients")
    ] = False
    disguise: Annotated[float, Ge(0), Doc("length of lasting perturbations that cancel, in lengths of the rows")] = 0.0

    @abstractmethod
    def alias(self, number: int, identity: int) -> int | None:
        """Which of its names 0, 1, ... an identity (0 to count - 1) bears in round `number`; None while it is away."""

    def added(self, f: int) -> int:
        """How many rows the identities of `f` malicious clients add to those of the federation's clients."""
        return f * self.count if self.outside else f * (self.count - 1)

    def __rshift__(self, attack: Any) -> SybilAttack:
        """These identities carry out an attack."""
        if not isinstance(attack, Attack):
            raise ParameterError(f"{self!r} should stand before an attack on the training. Found {attack!r}.")
        return SybilAttack(first=self, then=attack)


@dataclass(frozen=True, kw_only=True, repr=False)
class SybilAttack(Component):
    """An attack by clients with several identities: `Clones(count=5) >> LabelFlip()`."""

    first: Identities
    then: Attack

    def __repr__(self) -> str:
        return f"{self.first!r} >> {self.then!r}"

    def __str__(self) -> str:
        return f"{self.first} > {self.then}"

    @property
    def stages(self) -> tuple[Component, ...]:
        return *self.first.stages, *self.then.stages

    def __rshift__(self, attack: Any) -> SybilAttack:
        """The identities do what the longer chain says: `Clones() >> BadNets() >> ModelReplacement()`."""
        if not isinstance(self.then, DataPoisoning):
            raise ParameterError(f"Only a poisoning of data stands before another attack. Found {self.then!r}.")
        return SybilAttack(first=self.first, then=self.then >> attack)

    @property
    def surface(self) -> str:
        """That of the attack."""
        return self.then.surface

    def required_knowledge(self) -> Knowledge:
        """What the attack needs."""
        return self.then.required_knowledge()

    def fits(self, channel: str) -> bool:
        """Whether it can be played against a defense of this channel: perturbations only fit dense updates."""
        known = channel == "dense" or (channel == "rankings" and not self.first.disguise)
        return known and self.then.fits(channel)


def divided(attack: Attack | SybilAttack | None) -> tuple[Identities | None, Attack | None]:
    """Identities and attack; None where each client has one identity, or nobody attacks."""
    return (attack.first, attack.then) if isinstance(attack, SybilAttack) else (None, attack)
