"""How fast votes over rankings are counted, as ratios to references that took turns with it.

    pytest tests/benchmarks/test_voting.py --benchmark-enable --grid default

A part of `make bench`: the results stand in the same tables.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation.votes.contract import RankAggregator
from tests.benchmarks.conftest import Harness, chosen_grid
from tests.benchmarks.grid import Cell
from tests.benchmarks.memory import extra_memory
from tests.benchmarks.results import Measurement
from tests.benchmarks.timing import Turns, rounds_for, seconds
from tests.benchmarks.voting import BOUNDS, PEERS, rankings, torch_vote

RULES = [cls for cls in registry.find("defense").values() if issubclass(cls, RankAggregator)]
UNHURRIED = 3.0
"""Seconds of a count after which it is timed only once more."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cells with a hundred voters, as far as the grid has any."""
    cells = chosen_grid(metafunc.config).cells
    chosen = [cell for cell in cells if cell.n == 100] or list(cells[:1])
    pairs = [(cell, rule) for cell in chosen for rule in RULES]
    names = [f"n{cell.n}-d{cell.d}-{rule.__name__}" for cell, rule in pairs]
    metafunc.parametrize(("cell", "kind"), pairs, ids=names)


def test_voting(benchmark: Any, harness: Harness, cell: Cell, kind: type[RankAggregator]) -> None:
    count, x = kind(), rankings(cell)
    expected = count(x)  # compiles, and shows that the same is counted
    if benchmark.disabled:
        np.testing.assert_array_equal(expected, torch_vote(x))
    always, seldom = ({name: partial(ask, x) for name, ask in asked.items()} for asked in (BOUNDS, PEERS))
    turns = Turns(always, seldom)
    first, reading = seconds(partial(count, x)), sum(map(seconds, always.values()))
    rounds = rounds_for(harness.grid.seconds, first, reading, UNHURRIED)
    benchmark.pedantic(partial(count, x), setup=turns, rounds=rounds)
    if benchmark.disabled or benchmark.stats is None:
        return
    measurement = Measurement(
        rule=kind.name,
        label=kind.__name__,
        family="votes",
        n=cell.n,
        d=cell.d,
        seconds=min(benchmark.stats.stats.min, first),
        rounds=rounds,
        references=turns.best,
        traffic=float(cell.input_bytes),
        extra_memory=extra_memory(partial(count, x)) if cell == harness.grid.memory else None,
    )
    benchmark.extra_info.update({f"times the {name}": measurement.times(name) for name in turns.best})
    harness.run.measurements.append(measurement)
