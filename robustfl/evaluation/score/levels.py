"""Levels of knowledge: what a defense keeps against attackers who know its rule, and less or more beside it.

The defense itself is public on every level: what must be secret to hold is not security (Kerckhoffs' principle). What
differs is what attackers know of the honest clients:

- ``own``: nothing. They have their own data, and the models that every client receives.
- ``updates``: what the honest clients send, in addition.
- ``everything``: the data of the honest clients, in addition.

An attacker may always play the attack of one who knows less, so a level has all attacks of the levels before it. W of a
level is the smallest mean over its attacks and thus never above that of the level before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

Level = Literal["own", "updates", "everything"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""The levels, from the least to the most knowledge."""

WORDS: Mapping[Level, str] = {
    "own": "their own data alone",
    "updates": "their own data and the honest updates",
    "everything": "everything",
}
"""What attackers of a level know, in words: "attackers who know ..."."""


def level_of(knowledge: Sequence[str] | None) -> Level:
    """The lowest level that has an attack, from the names of what it declares to know.

    An attack whose knowledge is not known (None) counts on the highest level alone.
    """
    if knowledge is None or "data" in knowledge:
        return "everything"
    return "updates" if "peers" in knowledge else "own"


def attacks_within(level: Level, attacks: Iterable[str], knowledge: Mapping[str, Sequence[str]]) -> list[str]:
    """The attacks that an attacker of this level can play, in their order; `knowledge[attack]` is what one needs."""
    highest = LEVELS.index(level)
    return [attack for attack in attacks if LEVELS.index(level_of(knowledge.get(attack))) <= highest]
