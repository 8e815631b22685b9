"""A table for spreadsheets and data frames: one row a world, defense, number of malicious clients and attack."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.measures import numbers
from robustfl.evaluation.results.reporting import ReportFormat, RunResults
from robustfl.evaluation.score.costs import Records, means

from .wording import well_formed

COLUMNS = (
    "world",
    "clients",
    "defense",
    "f",
    "fraction",
    "attack",
    "utility",
    "utility_low",
    "utility_high",
    "accuracy",
    "seeds",
    "status",
    "worst_case",
    "worst_case_low",
    "worst_case_high",
    "is_worst",
    "mean_utility",
    "resilience",
    "rank",
    "evaluation_status",
    "evaluation_remarks",
    "invalid",
    "baseline",
    "chance",
    "trials",
    *numbers(),
)


@dataclass(frozen=True, kw_only=True)
class CSV(ReportFormat):
    """The scores as comma-separated values with a header, numbers in full precision, nothing where nothing is known.

    The last columns are means over the seeds of every measure that is one number a trial: ``robustfl list measures``.
    A text that a spreadsheet would take for a formula is given a leading apostrophe. What differs between seeds
    (status, trials) is separated by spaces, in the order of the seeds.
    """

    filename: ClassVar[str] = "scores.csv"

    def render(self, results: RunResults) -> str:
        """The table; equal results give equal bytes."""
        records = {record["trial"]: record for record in results.records}
        ranks = {row["defense"]: row["rank"] for row in results.summary["scores"]["ranking"]}
        return written(
            COLUMNS,
            (
                row | {"rank": ranks.get(defense["defense"])}
                for world in results.summary["scores"]["worlds"]
                for defense in world["defenses"]
                for point in defense["curve"]
                for row in _rows(world, defense, point, records)
            ),
        )


def _rows(
    world: Mapping[str, Any], defense: Mapping[str, Any], point: Mapping[str, Any], records: Records
) -> Iterator[dict[str, Any]]:
    """A row an attack; a point without attacks (it cannot be used, or nothing was tried) still has its row."""
    low, high = pair(point["W_ci"])
    shared = {
        "world": safe(world["world"]),
        "clients": world["clients"],
        "defense": safe(defense["defense"]),
        "f": point["f"],
        "fraction": point["fraction"],
        "worst_case": point["W"],
        "worst_case_low": low,
        "worst_case_high": high,
        "mean_utility": point["M"],
        "resilience": defense["R_unt"],
        "evaluation_status": defense.get("status", ""),
        "evaluation_remarks": safe("; ".join(defense.get("why", []))),
        "invalid": safe(point["invalid"] or ""),
        "baseline": world["baseline"]["mean"],
        "chance": world["chance"],
        "seeds": joined(world["seeds"]),
    }
    if not point["attacks"]:
        yield shared
    for attack, cell in point["attacks"].items():
        low, high = pair(cell["ci"])
        known = [accuracy for accuracy in cell["accuracy"] if accuracy is not None]
        yield {
            **shared,
            "attack": safe(attack),
            "utility": cell["U"],
            "utility_low": low,
            "utility_high": high,
            "accuracy": sum(known) / len(known) if known and len(known) == len(cell["accuracy"]) else None,
            "is_worst": int(attack == point["worst_attack"]),
            "status": safe(joined(status.replace(" ", "_") for status in cell["status"])),
            "trials": safe(joined(trial or "-" for trial in cell["trials"])),
            **means(cell["trials"], records, numbers()),
        }


def written(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The text of a table with a header; None is nothing, and so is what a row leaves out."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return well_formed(text.getvalue())


def axis(
    worlds: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    rows_of: Callable[[str, Mapping[str, Any]], Iterable[Mapping[str, Any]]],
) -> str:
    """The table of an axis of the score, from the rows of each defense in each world; nothing where there are none."""
    rows = [row for world in worlds for defense in world["defenses"] for row in rows_of(world["world"], defense)]
    return written(columns, rows) if rows else ""


def safe(text: str) -> str:
    """The text, marked as text when a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def joined(values: Any) -> str:
    """Values in one cell, separated by spaces."""
    return " ".join(str(value) for value in values)


def pair(interval: Sequence[float] | None) -> tuple[float | None, float | None]:
    """The ends of an interval, or nothing twice."""
    return (None, None) if interval is None else (interval[0], interval[1])
