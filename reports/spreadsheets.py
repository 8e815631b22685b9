"""Tables for spreadsheets and data frames: the values behind the sections, a file each."""

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
    """The values of a run as comma-separated tables, one file a subject, such as ``scores.csv``.

    Every table has a header, numbers in full precision, and nothing where nothing is known. A text that a spreadsheet
    would take for a formula is given a leading apostrophe. Values of several seeds are separated by spaces, in the
    order of the seeds. There is no file where a run has nothing of its subject.
    """

    name: ClassVar[str] = "csv"

    def files(self, results: RunResults) -> dict[str, str]:
        """The tables by the names of their files; equal results give equal bytes."""
        return {sheet.file: written(sheet) for sheet in sheets(results)}


def written(sheet: Sheet) -> str:
    """The text of a table with a header, or nothing for one without rows."""
    if not sheet.rows:
        return ""
    text = io.StringIO()
    table = csv.DictWriter(text, sheet.columns, lineterminator="\n")
    table.writeheader()
    table.writerows({key: _plain(value) for key, value in row.items()} for row in sheet.rows)
    return well_formed(text.getvalue())


def _plain(value: Any) -> Any:
    """A value as the writer knows it: truths are 1 and 0, lists are separated by spaces."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Sequence):
        shown = " ".join(map(str, value))
        return safe(shown) if any(isinstance(part, str) for part in value) else shown
    return value


def safe(text: str) -> str:
    """The text, marked as text when a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
