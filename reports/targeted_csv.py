"""What defenses keep under attacks with an aim, for spreadsheets and data frames: a row an attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .csv_table import axis, joined, pair, safe

CELL = ("success", "natural", "accuracy", "kept", "durability", "outlasts", "informative", "effectiveness")
COLUMNS = (
    *("world", "defense", "targeted", "targeted_low", "targeted_high", "worst_attack", "invalid"),
    *("attack", "aim", "f", *CELL, "kept_per_seed"),
)


@dataclass(frozen=True, kw_only=True)
class TargetedCSV(ReportFormat):
    """The targeted axis with a header, numbers in full precision; no file where no attack has an aim.

    `targeted` is T of the defense in the world, `kept` what it keeps under the attack. Rates are between 0 and 1,
    durability in rounds; `outlasts` is 1 where the backdoor outlived the run.
    """

    filename: ClassVar[str] = "targeted.csv"

    def render(self, results: RunResults) -> str:
        """The table; equal results give equal bytes."""
        return axis(results.summary.get("targeted", []), COLUMNS, _rows)


def _rows(world: str, defense: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row an attack; a defense that cannot be used has one row."""
    low, high = pair(defense["T_ci"])
    shared = {
        "world": safe(world),
        "defense": safe(defense["defense"]),
        "targeted": defense["T"],
        "targeted_low": low,
        "targeted_high": high,
        "worst_attack": safe(defense["worst_attack"] or ""),
        "invalid": safe(defense["invalid"] or ""),
    }
    if not defense["attacks"]:
        yield shared
    for cell in defense["attacks"]:
        yield {
            **shared,
            **{name: cell[name] for name in ("f", *CELL)},
            **{name: int(cell[name]) for name in ("outlasts", "informative")},
            "attack": safe(cell["attack"]),
            "aim": safe(cell["aim"]),
            "kept_per_seed": joined(cell.get("kept_per_seed", ())),
        }
