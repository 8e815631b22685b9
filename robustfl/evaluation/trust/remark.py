"""One remark: a reason to doubt a number, as JSON values, and the place in a scored suite that it speaks of."""

from __future__ import annotations

from typing import NamedTuple

from robustfl.evaluation.results.summaries import RemarkReport, ScoredDefense, ScoredPoint, ScoredWorldReport

Remark = RemarkReport

NEGLIGIBLE = 0.02
"""Differences in utility up to this say nothing about the quality of a search, even if the noise is smaller."""


class CurvePoint(NamedTuple):
    """One f of the curve of one defense in one world."""

    world: ScoredWorldReport
    defense: ScoredDefense
    point: ScoredPoint

    def remark(self, code: str, level: str, message: str, attack: str | None = None) -> Remark:
        """A remark at this place."""
        world, defense = self.world["world"], self.defense["defense"]
        return make_remark(code, level, message, world=world, defense=defense, attack=attack, f=self.point["f"])

    def utilities(self, attack: str | None) -> list[float] | None:
        """Utility of each seed under an attack; None when the cell is not complete."""
        cell = self.point["attacks"].get(attack or "")
        return None if cell is None or cell["U"] is None else [value for value in cell["u"] if value is not None]


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
    """A remark as JSON values."""
    return {
        "code": code,
        "level": level,
        "world": world,
        "defense": defense,
        "attack": attack,
        "f": f,
        "message": message,
    }
