"""Attacks in stages: who attacks, on what data they train, and what they make of the outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustfl.components import Component
from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.identities import SybilAttack


def poisoning_of(attack: Attack | SybilAttack | None) -> DataPoisoning | None:
    """What an attack does to data, None where it does nothing to them."""
    return next((stage for stage in stages(attack) if isinstance(stage, DataPoisoning)), None)


def aimed(attacks: Iterable[Any]) -> tuple[DataPoisoning, ...]:
    """The poisonings among some attacks, each once, that want the model to take certain samples for something else."""
    found = {str(poisoning): poisoning for poisoning in map(poisoning_of, attacks) if poisoning is not None}
    return tuple(one for one in found.values() if isinstance(one, Backdoor) or one.confusion() is not None)


def stages(attack: Component | None) -> tuple[Any, ...]:
    """The parts of an attack from the left, as far as it has them, and none where nobody attacks.

    They are identities, a poisoning of data, and an attack on updates.
    """
    return () if attack is None else attack.stages
