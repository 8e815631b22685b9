"""How fast every rule of the registry aggregates, as ratios to references that took turns with it.

    make bench                 # targets and some more sizes, about ten minutes on two cores
    make bench GRID=quick      # about a minute
    make bench GRID=full       # every size up to 1 GB of input
    pytest tests/benchmarks/test_aggregation.py --benchmark-enable -k Krum     # prints, writes nothing

Where ByzFL is installed (`pip install byzfl` into an environment of its own, beside robustfl), small problems are also
compared with its rules.

An ordinary test run calls every rule once on almost nothing, to see that the benchmark would run.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from robustfl.aggregation import Aggregator
from robustfl.errors import InfeasibleError, ParameterError
from tests.benchmarks import machine
from tests.benchmarks.conftest import Harness, chosen_grid
from tests.benchmarks.grid import ACCELERATOR, ACCELERATOR_CHECK, CHECK, Cell, Grid
from tests.benchmarks.mapped import aggregate_mapped, columns_for, write_sparse
from tests.benchmarks.memory import extra_memory
from tests.benchmarks.references import bounds, peers
from tests.benchmarks.results import Measurement
from tests.benchmarks.roofline import work
from tests.benchmarks.subjects import NotMeasurable, Subject, call, subjects
from tests.benchmarks.timing import TimeLimit, Turns, rounds_for, seconds, time_limit

UNHURRIED = 1.0
"""Seconds of a call after which a rule is called only once more in its cell."""
SLOW = 3.0
"""Seconds of a call after which a rule is spared the cells that are no smaller either way."""
LONGEST = 20.0
"""Seconds after which a call is stopped."""
FEW = 256
"""Columns of the first call, which compiles for this number of rows and shows whether the rule is feasible."""
MAPPED_RULES = ("TrimmedMean(f=20)", "Krum(f=20)", "NNM(f=20) >> TrimmedMean(f=20)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cells on the outside, so that each matrix is made once."""
    if "subject" not in metafunc.fixturenames:
        return
    grid = chosen_grid(metafunc.config)
    if "accelerator" in metafunc.function.__name__:
        grid = ACCELERATOR_CHECK if grid is CHECK else ACCELERATOR
    pairs = [(cell, subject) for cell in grid.cells for subject in subjects()]
    names = [f"n{cell.n}-d{cell.d}-{subject.label}" for cell, subject in pairs]
    metafunc.parametrize(("cell", "subject"), pairs, ids=names)


def test_speed(benchmark: BenchmarkFixture, harness: Harness, cell: Cell, subject: Subject) -> None:
    measure(benchmark, harness, harness.grid, cell, subject, harness.matrix(cell))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_speed_on_an_accelerator(benchmark: BenchmarkFixture, harness: Harness, cell: Cell, subject: Subject) -> None:
    grid, device = ACCELERATOR_CHECK if harness.grid is CHECK else ACCELERATOR, "cuda"
    if harness.grid is not CHECK and all(roofs.device != device for roofs in harness.run.roofs):
        harness.run.roofs.append(machine.device_roofs(device))
    generator = torch.Generator(device=device).manual_seed(cell.n)
    x = torch.randn((cell.n, cell.d), device=device, generator=generator)
    x[: cell.f] += 3.0
    measure(benchmark, harness, grid, cell, subject, x)


def test_larger_than_memory(harness: Harness, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The figures of a mapped file; 100 MB unless `--memmap-gigabytes` says more."""
    gigabytes = request.config.getoption("memmap_gigabytes", None)
    path, rules = tmp_path / "updates.npy", MAPPED_RULES if gigabytes else MAPPED_RULES[:1]
    write_sparse(path, 100, columns_for(gigabytes or 0.1, 100))
    for rule in rules:
        found, value = aggregate_mapped(rule, path)
        assert value.shape == (found.d,)
        assert np.isfinite(value).all()
        if gigabytes:
            harness.run.mapped.append(found)


def measure(benchmark: Any, harness: Harness, grid: Grid, cell: Cell, subject: Subject, x: Any) -> None:
    """Time a rule in turns with its references and add the result, or why there is none, to the run."""
    device = "cpu" if isinstance(x, np.ndarray) else str(x.device.type)
    known = {"rule": subject.name, "label": subject.label, "family": subject.family, "device": device}
    facts: dict[str, Any] = {**known, "n": cell.n, "d": cell.d}
    reason = _spared(harness.run.measurements, subject, cell, device)
    if reason is None:
        try:
            rule = subject.make(cell.f)
            with time_limit(LONGEST):
                call(subject.make(cell.f), x[:, :FEW])()
                first = seconds(call(rule, x), _synchronise(device))
        except (InfeasibleError, ParameterError, NotMeasurable, TimeLimit) as error:
            reason = str(error)
    if reason is not None:
        harness.run.measurements.append(Measurement(**facts, left_out=reason))
        benchmark.pedantic(lambda: None)
        return
    value, timing = _timed(benchmark, grid, cell, subject, rule, x, first)
    assert tuple(value.shape) == (cell.d,)
    assert bool(np.isfinite(value).all()) if device == "cpu" else bool(value.isfinite().all())
    if timing is None:
        return
    timing["seconds"] = min(timing["seconds"], first)  # so that one unlucky round spoils nothing
    model = work(subject, cell.n, cell.d)
    facts |= {"operations": model[0], "traffic": model[1]} if model is not None else {}
    if device == "cpu" and cell == grid.memory:
        facts["extra_memory"] = extra_memory(call(rule, x))
    measurement = Measurement(**facts, **timing)
    ratios = {f"times the {name}": measurement.times(name) for name in measurement.references}
    benchmark.extra_info.update(ratios, extra_memory=measurement.memory_share)
    harness.run.measurements.append(measurement)


def _timed(
    benchmark: Any, grid: Grid, cell: Cell, subject: Subject, rule: Aggregator, x: Any, first: float
) -> tuple[Any, dict[str, Any] | None]:
    """The aggregate, and the fields of a measurement that hold times (None when benchmarks are disabled)."""
    device = "cpu" if isinstance(x, np.ndarray) else str(x.device.type)
    wait = _synchronise(device)
    always = {name: partial(reference, x, cell.f) for name, reference in bounds(subject, device).items()}
    seldom = {name: partial(reference, x, cell.f) for name, reference in peers(subject, cell).items()}
    turns = Turns(always, seldom, wait)
    references = sum(seconds(reference, wait) for reference in always.values())
    rounds = rounds_for(grid.seconds, first, references, UNHURRIED)

    aggregate = call(rule, x)

    def subject_turn() -> Any:
        value = aggregate()
        if wait is not None:
            wait()
        return value

    value = benchmark.pedantic(subject_turn, setup=turns, rounds=rounds)
    if benchmark.disabled or benchmark.stats is None:
        return value, None
    return value, {"seconds": benchmark.stats.stats.min, "rounds": rounds, "references": turns.best}


def _synchronise(device: str) -> Any:
    return None if device == "cpu" else torch.cuda.synchronize


def _spared(measurements: list[Measurement], subject: Subject, cell: Cell, device: str) -> str | None:
    """Why a rule is not tried in a cell: it was already slow, or was stopped, in one that is no larger either way."""
    for m in measurements:
        if (m.rule, m.device) == (subject.name, device) and m.n <= cell.n and m.d <= cell.d:
            if m.seconds is not None and m.seconds > SLOW:
                return f"It took {m.seconds:.1f} s at {m.cell}."
            if m.left_out.startswith("Stopped"):
                return f"{m.left_out.rstrip('.')} at {m.cell}."
    return None
