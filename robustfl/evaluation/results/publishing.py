"""Publishing a run: its summary and records, packed, for a repository to keep, from which every report can be made."""

from __future__ import annotations

from pathlib import Path

from robustfl.errors import DataError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import content, pack

FILES = ("summary.json", "records.jsonl")
"""What a published run consists of; each lies there as `NAME.xz`, about a fifteenth of its size."""


def publish(run: Path, folder: Path) -> list[Path]:
    """Packs the results of a finished run into another folder; returns the files.

    ``robustfl report FOLDER`` and ``robustfl compare`` read them from there like those of any run. Ledgers stay behind:
    the records hold their heads. Equal results give equal files.

    Raises
    ------
    DataError : there are no results, or `folder` is a file or holds a run that is not packed
    StoreError : the results cannot be read as such
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Name a folder.")
    unpacked = [name for name in FILES if (folder / name).exists()]
    if unpacked:
        raise DataError(
            f"{folder} holds {unpacked[0]}, which would be read in place of what is packed. Name another folder."
        )
    RunResults.load(run)  # what cannot be read is not published
    folder.mkdir(parents=True, exist_ok=True)
    return [pack(folder / name, content(run / name)) for name in FILES]
