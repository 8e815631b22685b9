"""The contract of Sybil strategies: under how many names an adversary's clients take part, and in which rounds.

A strategy stands before an attack, as in `Clones(count=5) >> LabelFlip()`, and can be combined with every attack. The
strategy decides who sends a row, and the attack decides what is in it. Clients that behave well at first and defect
later need no strategy: the attack's `start_round` says when they defect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.threats.attack import Attack, CarriedOut
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.peers.contract import PeerAttack


@dataclass(frozen=True, kw_only=True)
class Identities(Component, ABC):
    """Each of the adversary's clients takes part as `count` identities at a time, each with its own row.

    The federation grows by these identities, and a defense that is told f is told the number of malicious identities.
    Defenses tell clients apart by name only, so an identity that changes its name leaves its history behind.

    A disguise hides that identities agree. Every name keeps its own unit direction for the whole trial. This direction,
    times ``disguise`` and the mean length of the malicious rows, is added to everything that is sent under the name.
    Directions come in pairs: those of one pair are opposite, and different pairs are orthogonal. They cancel in the
    mean when all identities take part and their number is even.
    """

    surface: ClassVar[str] = "identities"

    count: Annotated[int, Ge(1), Doc("number of identities of each malicious client at a time")] = 5
    shared: Annotated[
        Literal["update", "data"],
        Doc("what the identities of a client share: one update, or the data on which each of them trains"),
    ] = "update"
    outside: Annotated[
        bool,
        Doc(
            "whether malicious clients are added to the federation, with copies of all data, or are some of its clients"
        ),
    ] = False
    disguise: Annotated[
        float, Ge(0), Doc("length of the perturbations that hide the agreement, in mean lengths of malicious rows")
    ] = 0.0

    @abstractmethod
    def alias(self, number: int, identity: int) -> int | None:
        """Which of its names 0, 1, ... an identity (0 to count - 1) uses in round `number`; None while it is absent."""

    def added(self, f: int) -> int:
        """The number of rows that the identities of `f` malicious clients add to those of the federation's clients."""
        return f * self.count if self.outside else f * (self.count - 1)

    def __rshift__(self, attack: Any) -> SybilAttack:
        """The attack, carried out by clients with these identities."""
        if not isinstance(attack, Attack):
            raise ParameterError(f"{self!r} should stand before an attack on the training. Found {attack!r}.")
        return SybilAttack(first=self, then=attack)


@dataclass(frozen=True, kw_only=True, repr=False)
class SybilAttack(CarriedOut, Component):
    """An attack by clients with several identities: `Clones(count=5) >> LabelFlip()`."""

    first: Identities
    then: Attack

    def __rshift__(self, attack: Any) -> SybilAttack:
        """The same identities with one more stage of the attack: `Clones() >> BadNets() >> ModelReplacement()`."""
        if not isinstance(self.then, DataPoisoning):
            raise ParameterError(f"Only a poisoning of data stands before another attack. Found {self.then!r}.")
        return SybilAttack(first=self.first, then=self.then >> attack)

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel.

        Disguises change updates and models: they fit neither rankings nor letters that several peers share.
        """
        known = channel in ("dense", "peers", "rankings")
        if self.first.disguise:
            known = channel == "dense" or (channel == "peers" and not isinstance(self.then, PeerAttack))
        return known and super().fits(channel)


def divided(attack: Attack | SybilAttack | None) -> tuple[Identities | None, Attack | None]:
    """The identities and the attack; None when each client has one identity, and None when nobody attacks."""
    return (attack.first, attack.then) if isinstance(attack, SybilAttack) else (None, attack)
