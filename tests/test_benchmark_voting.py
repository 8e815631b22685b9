"""The bound on counting: every way that is measured gives the same sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import voting_bound
from tests.benchmarks.grid import Cell
from tests.benchmarks.voting import rankings


@pytest.mark.parametrize("way", voting_bound.WAYS.values(), ids=voting_bound.WAYS)
def test_every_way_gives_the_sums_of_the_places(way: Callable[[Any], Any]) -> None:
    x = rankings(Cell(11, 20_000))
    np.testing.assert_array_equal(way(x), np.argsort(x, axis=1).sum(axis=0))


def test_a_repeated_edge_ends_the_count() -> None:
    x = rankings(Cell(3, 10))
    x[1, 7] = x[1, 2]
    assert voting_bound.stamped(x, np.zeros(10, np.uint64)) == 1
    assert voting_bound.inverted(x, np.zeros(10, np.int32), np.full(10, -1, np.int32)) == 1


def test_the_table_has_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    voting_bound.main(["--voters", "2", "--edges", "5000", "--seconds", "0"])
    table = capsys.readouterr().out
    assert "| reading |" in table
    assert all(f"| {name} |" in table for name in voting_bound.WAYS)
