"""What a report format is, and the results that it renders.

A run leaves two files in its folder: ``summary.json`` (the suite, its scores and its provenance) and ``records.jsonl``
(one record per trial). :class:`RunResults` reads and checks both, so that a report format may trust their shape. A
format is a pure function of them: the same results give the same bytes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast, final

from robustfl.components import Component
from robustfl.errors import DataError, StoreError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.schema import RECORD, SUMMARY
from robustfl.evaluation.results.shapes import require_shape
from robustfl.evaluation.results.store import content, read_records
from robustfl.evaluation.results.summaries import Summary


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """Everything that a report may show: the summary of a suite and the records of its trials.

    Raises :class:`StoreError` when one of them does not have the shape that the reports read; the message names the
    path of the wrong value.
    """

    summary: Summary
    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        require_shape(self.summary, SUMMARY, "summary")
        for number, record in enumerate(self.records, start=1):
            require_shape(record, RECORD, f"record {number}")

    @classmethod
    def load(cls, directory: Path) -> RunResults:
        """Read ``summary.json`` and ``records.jsonl`` from the folder of a run or of a published run.

        The last line of the records may be incomplete, if the run was killed while it wrote; then it is left out.
        Raises :class:`DataError` when a file is absent and :class:`StoreError` when one cannot be read as results.
        """
        try:
            summary = _summary(directory / "summary.json")
            records = read_records(directory / "records.jsonl")
        except OSError as error:
            raise DataError(
                f"{error.filename} cannot be read: {error.strerror}. Point at the folder that `robustfl run --out` "
                "wrote. If that run was interrupted, start it again: it continues and then writes its results."
            ) from error
        return cls(summary=cast("Summary", summary), records=tuple(records))


@dataclass(frozen=True, kw_only=True)
class ReportFormat(Component, ABC):
    """One way to show results: a pure function from results to the contents of files."""

    asked: ClassVar[bool] = False
    """Whether it is only made when somebody asks for it by name, since it needs an optional package."""

    @abstractmethod
    def files(self, results: RunResults) -> Mapping[str, str | bytes]:
        """The contents by the names of the files, which are saved in the folder of the run, texts in UTF-8.

        Equal results give equal contents. One that is empty has nothing to show; then no file is written.
        """


@dataclass(frozen=True, kw_only=True)
class ReportPage(ReportFormat, ABC):
    """A report format that consists of one file."""

    filename: ClassVar[str]
    """The name of the file."""

    @abstractmethod
    def render(self, results: RunResults) -> str:
        """The text of the file, empty if there is nothing to show; equal results give equal texts."""

    @final
    def files(self, results: RunResults) -> dict[str, str]:
        """The text of the only file, by its name."""
        return {self.filename: self.render(results)}


def _summary(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content(path))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise StoreError(f"{path} is not valid JSON ({reason}). Run the suite again.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} should hold a JSON object. Found {type(value).__name__}. Run the suite again.")
    return value
