"""The claims of a suite as a table for spreadsheets and data frames: one row a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .csv_table import joined, pair, safe, written

COLUMNS = (
    "claim",
    "source",
    "measure",
    "expected",
    "measured",
    "measured_low",
    "measured_high",
    "difference",
    "verdict",
    "reason",
    "per_seed",
)


@dataclass(frozen=True, kw_only=True)
class ClaimsCSV(ReportFormat):
    """The claims as comma-separated values with a header, numbers in full precision; no file for a suite without.

    `difference` is how far the value lies inside what is expected, negative outside. `per_seed` holds the values of
    the seeds, separated by spaces, and nothing where chance has no part.
    """

    filename: ClassVar[str] = "claims.csv"

    def render(self, results: RunResults) -> str:
        """The table; equal results give equal bytes."""
        claims = results.summary.get("claims", [])
        if not claims:
            return ""
        return written(COLUMNS, (_row(claim) for claim in claims))


def _row(claim: Mapping[str, Any]) -> dict[str, Any]:
    low, high = pair(claim["ci"])
    return {
        **{key: safe(claim[key]) for key in ("source", "measure", "verdict", "reason")},
        "claim": safe(claim["text"]),
        "expected": safe(claim["expect"]),
        "measured": claim["value"],
        "measured_low": low,
        "measured_high": high,
        "difference": claim["difference"],
        "per_seed": joined(claim["per_seed"]),
    }
