"""Attacks in stages: who attacks, on what data they train, and what they make of the outcome."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustfl.threats.backdoors import Backdoor
from robustfl.threats.contracts import Attack, DataPoisoning, UpdateAttack
from robustfl.threats.identities import SybilAttack
from robustfl.threats.knowledge import Knowledge, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, repr=False)
class PoisonedAttack(UpdateAttack):
    """An attack on updates whose own ones come of poisoned data: `BadNets(target=7) >> ModelReplacement()`.

    Data are poisoned in the window of the first; updates are crafted in rounds that lie in the windows of both, since
    elsewhere there is nothing of the attacker in them.
    """

    first: DataPoisoning
    then: UpdateAttack
    start_round: int = field(default=0, init=False)
    stop_round: int | None = field(default=None, init=False)
    every: int = field(default=1, init=False)

    def __repr__(self) -> str:
        return f"{self.first!r} >> {self.then!r}"

    def __str__(self) -> str:
        return f"{self.first} > {self.then}"

    def required_knowledge(self) -> Knowledge:
        """What both need."""
        return self.first.required_knowledge() | self.then.required_knowledge()

    def fits(self, channel: str) -> bool:
        return self.first.fits(channel) and self.then.fits(channel)

    def confusion(self) -> tuple[int, int] | None:
        return self.first.confusion()

    def active(self, number: int) -> bool:
        return self.first.active(number) and self.then.active(number)

    def craft(self, view: View) -> Tensor:
        return self.then.craft(view)


def poisoning_of(attack: Attack | SybilAttack | None) -> DataPoisoning | None:
    """What an attack does to data, None where it does nothing to them."""
    return next((stage for stage in stages(attack) if isinstance(stage, DataPoisoning)), None)


def aimed(attacks: Iterable[Any]) -> tuple[DataPoisoning, ...]:
    """The poisonings among some attacks, each once, that want the model to take certain samples for something else."""
    found = {str(poisoning): poisoning for poisoning in map(poisoning_of, attacks) if poisoning is not None}
    return tuple(one for one in found.values() if isinstance(one, Backdoor) or one.confusion() is not None)


def stages(attack: Any) -> tuple[Any, ...]:
    """The parts of an attack from the left: identities, poisoning, attack on updates, as far as it has them."""
    if isinstance(attack, SybilAttack | PoisonedAttack):
        return *stages(attack.first), *stages(attack.then)
    return () if attack is None else (attack,)
