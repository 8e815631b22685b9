"""One flag: a reason to doubt a number, as JSON values, and the place in a scored suite that it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Report = Mapping[str, Any]
Remark = dict[str, Any]


class CurvePoint(NamedTuple):
    """One f of the curve of one defense in one world."""

    world: Report
    defense: Report
    point: Report

    def flag(self, code: str, level: str, message: str, attack: str | None = None) -> Remark:
        """A flag at this place."""
        world, defense = self.world["world"], self.defense["defense"]
        return make_remark(code, level, message, world=world, defense=defense, attack=attack, f=self.point["f"])

    def utilities(self, attack: str | None) -> list[float] | None:
        """Utility of each seed under an attack; None when the cell is not complete."""
        cell = self.point["attacks"].get(attack)
        return None if cell is None or cell["U"] is None else list(cell["u"])


def make_remark(
    code: str,
    level: str,
    message: str,
    *,
    world: str | None = None,
    defense: str | None = None,
    attack: str | None = None,
    f: int | None = None,
) -> Remark:
    """A flag as JSON values."""
    return {
        "code": code,
        "level": level,
        "world": world,
        "defense": defense,
        "attack": attack,
        "f": f,
        "message": message,
    }
