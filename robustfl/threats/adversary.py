"""Attacks that craft messages of any kind, and the machine that runs them and checks what they have made."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from robustfl.threats.attack import Attack
from robustfl.threats.knowledge import RoundFacts

F = TypeVar("F", bound=RoundFacts[Any])
M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class MessageAttack(Attack, Generic[F, M]):
    """An attack that crafts the messages of the malicious clients: what all kinds of messages have in common.

    F are the facts of a round, M are the messages of several clients.
    """

    beside: ClassVar[bool] = False
    """Whether it crafts something beside the malicious clients' models, which stay what these have trained."""

    @abstractmethod
    def craft(self, view: Any) -> M:
        """The malicious messages of a round."""

    @abstractmethod
    def nothing(self, facts: F) -> M:
        """The messages of no clients at all."""

    @abstractmethod
    def look(self, facts: F, memory: dict[str, Any]) -> Any:
        """What the attack sees of a round: what it declares to know of the facts."""

    @abstractmethod
    def checked(self, crafted: Any, view: Any, facts: F) -> M:
        """What the attack has crafted; raises AttackError when that is not what it should be."""


class Adversary(Generic[F, M]):
    """An attack with its memory between the rounds of one trial."""

    def __init__(self, attack: MessageAttack[F, M]) -> None:
        self.attack = attack
        self.memory: dict[str, Any] = {}

    def craft(self, facts: F) -> M:
        """The malicious messages of this round; honest messages in rounds in which the attack is not active.

        Raises
        ------
        AttackError : there is no honest message, the crafted messages have a wrong shape, type or device, or the attack
            changed what it may only read
        KnowledgeError : the attack looked at more than it declared
        """
        if facts.f == 0:
            return self.attack.nothing(facts)
        if not self.attack.active(facts.round):
            own: M = facts.own()
            return own
        view = self.attack.look(facts, self.memory)
        return self.attack.checked(self.attack.craft(view), view, facts)
