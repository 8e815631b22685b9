"""Publishing a run: its summary and records are packed for a repository, and every report can be made from them."""

from __future__ import annotations

import json
from pathlib import Path

from robustfl.errors import DataError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import content, encoded, pack

FILES = ("summary.json", "records.jsonl")
"""The files of a published run; each is stored as `NAME.xz`, with about a fifteenth of its size."""


def publish(run: Path, folder: Path) -> list[Path]:
    """Pack the results of a finished run into another folder, and return the paths of the files.

    ``robustfl report FOLDER`` and ``robustfl compare`` read them from there like the results of any run. Ledgers are
    not published, but the records hold their heads. Equal results give equal files.

    Raises
    ------
    DataError : there are no results, or `folder` is a file or holds a run that is not packed
    StoreError : the results cannot be read as such
    """
    _require_room(folder)
    RunResults.load(run)  # results that cannot be read are not published
    folder.mkdir(parents=True, exist_ok=True)
    return [pack(folder / name, content(run / name)) for name in FILES]


def publish_results(results: RunResults, folder: Path) -> list[Path]:
    """Pack results that are in no folder yet, as :func:`publish` does."""
    _require_room(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = json.dumps(results.summary, indent=1, allow_nan=False).encode()
    records = b"".join(encoded(record) for record in results.records)
    return [pack(folder / name, text) for name, text in zip(FILES, (summary, records), strict=True)]


def _require_room(folder: Path) -> None:
    """Refuse a folder in which packed files would not be what is read."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Name a folder.")
    unpacked = [name for name in FILES if (folder / name).exists()]
    if unpacked:
        raise DataError(
            f"{folder} holds {unpacked[0]}, which would be read in place of what is packed. Name another folder."
        )
