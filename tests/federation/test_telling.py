"""Columns of a table that tell the label by themselves are named, and others are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl.federation.data.data_sets import CSV

KINDS = ("benign", "dos", "scan", "web")
SHARES = (0.5, 0.25, 0.15, 0.1)


Cells = Callable[[Any, np.random.Generator], Any]


def told(folder: Path, cells: Cells, *, rows: int = 800, shares: tuple[float, ...] = SHARES) -> list[str]:
    """The notes on a table whose column `c` is computed from the class numbers, with some randomness."""
    rng = np.random.default_rng(0)
    y = rng.choice(len(shares), size=rows, p=shares)
    found = cells(y, rng)
    lines = [
        f"{cell},{noise:.4f},{KINDS[label]}" for cell, noise, label in zip(found, rng.normal(size=rows), y, strict=True)
    ]
    folder.mkdir(exist_ok=True)  # data are read once a folder
    (folder / "t.csv").write_text("\n".join(["c,noise,Label", *lines]))
    return list(CSV(path="t.csv", label_column="Label").load(folder).notes)


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (lambda y, rng: np.array(["no", "DoS", "PortScan", "XSS"])[y], "the label"),
        (lambda y, rng: np.array([3, 17, 5, -1])[y], "the label"),
        (lambda y, rng: 100 * y + rng.normal(size=len(y)), "the label"),
        (lambda y, rng: (y > 0).astype(int), "the class 'benign'"),
        (
            lambda y, rng: np.where(y == 1, "a", np.array(["b", "c", "d", "e"])[rng.integers(0, 4, len(y))]),
            "the class 'dos'",
        ),
        (
            lambda y, rng: np.where(y == 0, rng.normal(size=len(y)), rng.normal(size=len(y)) * 1e-3 + 9),
            "the class 'benign'",
        ),
        (lambda y, rng: np.where(rng.random(len(y)) < 0.002, 0, y), "the label"),
    ],
    ids=["words", "numbers", "measured", "attack or not", "one class", "pieces", "nearly"],
)
def test_a_column_that_tells_the_label_is_named(cells: Cells, what: str, tmp_path: Path) -> None:
    (note,) = told(tmp_path, cells)
    assert note.startswith(f"Column `c` alone tells {what} (right for more than 99% of the test rows). If it is a")
    assert note.endswith("`ignore` it.")


@pytest.mark.parametrize(
    "cells",
    [
        lambda y, rng: np.arange(len(y)),
        lambda y, rng: rng.normal(size=len(y)) + 2 * y,
        lambda y, rng: np.where(rng.random(len(y)) < 0.1, (y + 1) % 4, y),
        lambda y, rng: np.array(["tcp", "udp"])[rng.integers(0, 2, len(y))],
        lambda y, rng: np.ones(len(y)),
    ],
    ids=["numbered", "informative", "noisy", "words", "constant"],
)
def test_a_column_that_only_helps_is_not_named(cells: Cells, tmp_path: Path) -> None:
    assert told(tmp_path, cells) == []


def test_of_one_sided_or_few_rows_nothing_is_said(tmp_path: Path) -> None:
    def same(y: Any, rng: np.random.Generator) -> Any:
        return y

    assert told(tmp_path / "one sided", same, shares=(0.95, 0.05)) == []
    assert told(tmp_path / "few", same, rows=200) == []
    assert len(told(tmp_path / "enough", same, shares=(0.85, 0.15))) == 1


def test_values_of_the_test_file_that_training_never_had_are_answered_by_their_neighbours(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, shift in (("train", 0.0), ("test", 0.4)):
        y = rng.integers(0, 2, 300)
        lines = [f"{10 * label + value + shift},{'ab'[label]}" for label, value in zip(y, rng.random(300), strict=True)]
        (tmp_path / name).write_text("\n".join(["when,Label", *lines]))
    data = CSV(path="train", test_path="test", label_column="Label").load(tmp_path)
    assert ["`when` alone tells the label" in note for note in data.notes] == [True]
