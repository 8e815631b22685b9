"""What defenses keep when things fail without malice, for spreadsheets and data frames: a row a fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .csv_table import axis, joined, pair, safe

CELL = ("recovery", "recovered", "lost_rows", "held_rounds", "honest_ignored")
COLUMNS = (
    *("world", "defense", "told_f", "faults", "worst_fault", "invalid"),
    *("fault", "utility", "utility_low", "utility_high", *CELL, "utility_per_seed", "status"),
)


@dataclass(frozen=True, kw_only=True)
class FaultsCSV(ReportFormat):
    """The fault axis with a header, numbers in full precision; no file for a suite without a fault suite.

    `faults` is F of the defense in the world, `utility` what it keeps under the fault.
    """

    filename: ClassVar[str] = "faults.csv"

    def render(self, results: RunResults) -> str:
        """The table; equal results give equal bytes."""
        return axis(results.summary.get("faults", []), COLUMNS, _rows)


def _rows(world: str, defense: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row a fault; a defense that cannot be used has one row."""
    shared = {
        "world": safe(world),
        "defense": safe(defense["defense"]),
        "told_f": defense["told"],
        "faults": defense["F"],
        "worst_fault": safe(defense["worst"] or ""),
        "invalid": safe(defense["invalid"] or ""),
    }
    if not defense["faults"]:
        yield shared
    for fault, cell in defense["faults"].items():
        low, high = pair(cell["ci"])
        yield {
            **shared,
            **{name: cell[name] for name in CELL},
            "fault": safe(fault),
            "utility": cell["U"],
            "utility_low": low,
            "utility_high": high,
            "utility_per_seed": joined(cell["u"]),
            "status": safe(joined(status.replace(" ", "_") for status in cell["status"])),
        }
