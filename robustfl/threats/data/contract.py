"""Attacks on the training data of malicious clients."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.threats.adversary import MessageAttack
from robustfl.threats.attack import Attack, Labels, Staged
from robustfl.threats.knowledge import Knowledge
from robustfl.threats.updates.contract import UpdateAttack
from robustfl.threats.updates.view import View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DataPoisoning(Attack):
    """Changes the training data of the malicious clients, which then train as every client does.

    A poisoning can stand before an attack on updates: `poisoning >> attack`. The malicious clients then train on the
    poisoned data in the way of the attack, and the attack crafts what they send.
    """

    surface: ClassVar[str] = "data"
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    @abstractmethod
    def poison_labels(self, labels: Labels, classes: int, rng: np.random.Generator) -> Labels:
        """The malicious clients' labels [N] after poisoning; called once, before the first round."""

    def poison(self, labels: Labels, classes: int, rng: np.random.Generator) -> tuple[Labels, NDArray[np.bool_]]:
        """The labels [N] after poisoning, and which samples' features change too [N]: none, unless overridden."""
        return self.poison_labels(labels, classes, rng), np.zeros(len(labels), dtype=np.bool_)

    def poison_features(self, features: Tensor, part: int) -> Tensor:
        """The samples [m, ...] whose features change, as the malicious client number `part` (from 0) trains on them.

        An override returns a new tensor and leaves `features` as they are.
        """
        return features

    def __rshift__(self, attack: Any) -> Any:
        """An attack on updates that starts from updates on poisoned data: `BadNets() >> ModelReplacement()`.

        What is crafted beside models, such as rumours, can follow as well.
        """
        if isinstance(attack, MessageAttack) and attack.beside:
            return PoisonedAndMore(first=self, then=attack)
        if not isinstance(attack, UpdateAttack) or isinstance(attack, PoisonedAttack):
            raise ParameterError(f"{self!r} should stand before an attack on updates. Found {attack!r}.")
        return PoisonedAttack(first=self, then=attack)

    def used(self, labels: Labels, poisoned: Labels) -> NDArray[np.bool_]:
        """Which of their samples [N] malicious clients train on while they attack: all, unless overridden.

        A malicious client that has none of these samples uses all of its samples.
        """
        return np.ones(len(labels), dtype=np.bool_)


class _Poisoned(Staged):
    """What attacks after a poisoning of data have in common."""

    first: DataPoisoning
    then: Attack

    def required_knowledge(self) -> Knowledge:
        """The knowledge that either stage needs."""
        return self.first.required_knowledge() | self.then.required_knowledge()

    def fits(self, channel: str) -> bool:
        return self.first.fits(channel) and self.then.fits(channel)

    def confusion(self) -> tuple[int, int] | None:
        return self.first.confusion()


@dataclass(frozen=True, kw_only=True, repr=False)
class PoisonedAndMore(_Poisoned, Attack):
    """A poisoning, by peers that also craft something beside their models: `LabelFlip() >> Framing()`.

    Each stage has the rounds in which it is active itself.
    """

    first: DataPoisoning
    then: Attack
    start_round: int = field(default=0, init=False)
    stop_round: int | None = field(default=None, init=False)
    every: int = field(default=1, init=False)

    def active(self, number: int) -> bool:
        return self.first.active(number) or self.then.active(number)


@dataclass(frozen=True, kw_only=True, repr=False)
class PoisonedAttack(_Poisoned, UpdateAttack):
    """An attack on updates that starts from updates on poisoned data: `BadNets(target=7) >> ModelReplacement()`.

    Data are poisoned in the rounds of the first stage. Updates are crafted in the rounds in which both stages are
    active, because in other rounds the malicious clients' updates contain nothing of the attack.
    """

    first: DataPoisoning
    then: UpdateAttack
    start_round: int = field(default=0, init=False)
    stop_round: int | None = field(default=None, init=False)
    every: int = field(default=1, init=False)

    def active(self, number: int) -> bool:
        return self.first.active(number) and self.then.active(number)

    def craft(self, view: View) -> Tensor:
        return self.then.craft(view)
