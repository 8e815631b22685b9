"""Tables for spreadsheets and data frames: the values behind the sections, one file per section."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .sections import sheets
from .sections.content import Sheet
from .sections.content.wording import well_formed


@dataclass(frozen=True, kw_only=True)
class Spreadsheets(ReportFormat):
    """The values of a run as comma-separated tables, one file per subject, such as ``scores.csv``.

    Every table has a header and numbers in full precision; the cell of an unknown value is empty. A text that a
    spreadsheet would take for a formula gets a leading apostrophe. Values of several seeds are separated by spaces, in
    the order of the seeds. If a run has no values of a subject, there is no file for it.
    """

    name: ClassVar[str] = "csv"

    def files(self, results: RunResults) -> dict[str, str]:
        """The tables by the names of their files; equal results give equal bytes."""
        return {sheet.file: written(sheet) for sheet in sheets(results)}


def written(sheet: Sheet) -> str:
    """The text of a table with a header, or an empty text for a table without rows."""
    if not sheet.rows:
        return ""
    text = io.StringIO()
    table = csv.DictWriter(text, sheet.columns, lineterminator="\n")
    table.writeheader()
    table.writerows({key: _plain(value) for key, value in row.items()} for row in sheet.rows)
    return well_formed(text.getvalue())


def _plain(value: Any) -> Any:
    """A value as the writer needs it: booleans are 1 and 0, and the items of lists are separated by spaces."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Sequence):
        shown = " ".join(map(str, value))
        return safe(shown) if any(isinstance(part, str) for part in value) else shown
    return value


def safe(text: str) -> str:
    """The text, which is marked as text if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
