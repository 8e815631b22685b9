"""Runs kept for later comparisons: a folder, a summary under any name, and the compact file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from robustfl.errors import DataError, StoreError
from robustfl.evaluation.compare.comparison import compare_runs
from robustfl.evaluation.results.baseline import load_stored, save_stored
from tests.evaluation.outcomes import suite, world
from tests.evaluation.stored_runs import one, only_cell, run


def scored() -> dict[str, Any]:
    """A run as the score describes it, with much that no comparison reads."""
    from robustfl.evaluation.score.score import score

    frame = one([0.5])
    return {**frame, "histograms": {}, "scores": score(suite({0: 1.0, 2: 0.8, 4: 0.3}), [world()])}


def test_a_compact_file_says_the_same_in_less(tmp_path: Path) -> None:
    whole = tmp_path / "run"
    whole.mkdir()
    (whole / "summary.json").write_text(json.dumps(scored(), indent=1))
    save_stored(load_stored(whole), tmp_path / "kept.json")
    kept = load_stored(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").stat().st_size < (whole / "summary.json").stat().st_size / 3
    assert "histograms" not in kept
    assert compare_runs(kept, scored()).report() == compare_runs(scored(), load_stored(whole)).report()


def test_accuracies_keep_every_bit(tmp_path: Path) -> None:
    stored = one([0.1 + 0.2, 1 / 3])
    save_stored(stored, tmp_path / "kept.json")
    assert only_cell(load_stored(tmp_path / "kept.json")) == only_cell(stored)


def test_what_is_not_there_is_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"summary\.json cannot be read: No such file.*robustfl run --out"):
        load_stored(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "should be an object"),
        (json.dumps({**one([0.5]), "schema": 2}), r"schema` should be 1\. Found 2"),
        ('{"schema": 1}', r"suite` is missing"),
    ],
)
def test_files_of_something_else_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        load_stored(tmp_path / "x.json")


def broken(**changes: Any) -> dict[str, Any]:
    stored = copy.deepcopy(run({("Mean", "IPM", 1): [0.5, 0.6]}))
    target = stored["scores"]["worlds"][0]
    for key, value in changes.items():
        (only_cell(stored) if key in ("accuracy", "trials", "status") else target)[key] = value
    return stored


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": [0.5]}, r"one value for each of 2 seeds\. Found \{'accuracy': 1, 'trials': 2"),
        ({"status": ["ok"] * 3}, "'status': 3"),
        ({"accuracy": [0.5, "x"]}, r"accuracy\[1\]` should be a finite number"),
        ({"seeds": [1, 1]}, r"`seeds` should be distinct.*Found \[1, 1\]"),
        ({"baseline": {"per_seed": [0.5]}}, "and 1 baselines"),
    ],
)
def test_broken_cells_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(broken(**changes)))
    with pytest.raises(StoreError, match=message):
        load_stored(tmp_path / "x.json")
