"""Attacks in stages: who attacks, on what data malicious clients train, and what they send in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.data.contract import DataPoisoning, PoisonedAttack
from robustfl.threats.identities import SybilAttack


def poisoning_of(attack: Attack | SybilAttack | None) -> DataPoisoning | None:
    """The stage of an attack that poisons data; None when there is none."""
    return next((stage for stage in stages(attack) if isinstance(stage, DataPoisoning)), None)


def aimed(attacks: Iterable[Any]) -> tuple[DataPoisoning, ...]:
    """The poisonings among some attacks, each one once, that want the model to mistake certain samples."""
    found = {str(poisoning): poisoning for poisoning in map(poisoning_of, attacks) if poisoning is not None}
    return tuple(one for one in found.values() if isinstance(one, Backdoor) or one.confusion() is not None)


def stages(attack: Any) -> tuple[Any, ...]:
    """The stages of an attack from the left: identities, poisoning and attack on updates, as far as they exist."""
    if isinstance(attack, SybilAttack | PoisonedAttack):
        return *stages(attack.first), *stages(attack.then)
    return () if attack is None else (attack,)
