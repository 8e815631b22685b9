"""The file of a test: how the rule did when somebody last said that this is how it should do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robustfl.evaluation.results.baseline import load_stored, stored_part
from robustfl.evaluation.results.store import write_atomically
from robustfl.evaluation.results.summaries import Summary
from robustfl.testing.resilience.playing import Played, Request


def save_baseline(file: Path, test: str, request: Request, played: Played) -> None:
    """Write what a comparison reads of a run, with the test, the scenario as it was resolved, and the resilience.

    The file is made to be committed and reviewed: it does not depend on where the repository lies, equal results give
    equal files, and each cell is a line.
    """
    experiment = request.experiment
    told = {
        "test": test,
        "R": None if played.score is None else round(played.score, 6),
        "scenario": experiment.suite.model_dump(mode="json", exclude={"claims"}),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, (_told({**told, **stored_part(played.summary)}) + "\n").encode())


def load_baseline(place: Path, name: Path) -> tuple[Summary, Path]:
    """The baseline `name` of a folder of baselines, or `place` itself where it is a run; and the file that was read.

    Raises
    ------
    DataError : there is none
    StoreError : the file holds no results
    """
    run = place.is_file() or (place / "summary.json").exists()
    file = place if run else place / name
    return load_stored(file), file


def _told(value: Any, depth: int = 0) -> str:
    """JSON in which what holds nothing but plain values and lists of them is a line."""
    if not isinstance(value, dict | list) or _plain(value):
        return json.dumps(value, allow_nan=False)
    indent = " " * (depth + 1)
    if isinstance(value, dict):
        rows = [f"{indent}{json.dumps(key)}: {_told(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"
    return "[\n" + ",\n".join(f"{indent}{_told(item, depth + 1)}" for item in value) + "\n" + " " * depth + "]"


def _plain(value: Any) -> bool:
    """Whether no mapping is inside another one or inside a list."""
    items = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, dict) or (isinstance(item, list) and not _plain(item)) for item in items)
