"""Attacks in stages: who attacks, on what data malicious clients train, and what they send in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustfl.components import Component
from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.identities import Identities, SybilAttack

SEARCHES, PLANS = 1, 2
"""The effort of attacks that ask the defense what becomes of candidates, and of those that plan the rounds to come."""


def poisoning_of(attack: Attack | SybilAttack | None) -> DataPoisoning | None:
    """The stage of an attack that poisons data; None when there is none."""
    return next((stage for stage in stages(attack) if isinstance(stage, DataPoisoning)), None)


def identities_of(attack: Any) -> Identities | None:
    """Under how many names an attack's clients take part; None when each has one."""
    return next((stage for stage in stages(attack) if isinstance(stage, Identities)), None)


def aimed(attacks: Iterable[Any]) -> tuple[DataPoisoning, ...]:
    """The poisonings among some attacks, each one once, that want the model to mistake certain samples."""
    found = {str(poisoning): poisoning for poisoning in map(poisoning_of, attacks) if poisoning is not None}
    return tuple(one for one in found.values() if isinstance(one, Backdoor) or one.confusion() is not None)


def stages(attack: Component | None) -> tuple[Any, ...]:
    """The parts of an attack from the left, as far as it has them, and none where nobody attacks.

    They are identities, a poisoning of data, and an attack on updates.
    """
    return () if attack is None else attack.stages


def effort(attack: Component | None) -> int:
    """What an attack does before it sends something: :data:`PLANS`, :data:`SEARCHES`, or 0 for neither."""
    parts = stages(attack)
    if any(getattr(part, "plans", False) for part in parts):
        return PLANS
    return SEARCHES if any(hasattr(part, "search_every") for part in parts) else 0
