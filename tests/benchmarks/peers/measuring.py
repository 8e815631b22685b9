"""Plays everything that is compared, and gathers what was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tests.benchmarks.grid import Cell
from tests.benchmarks.machine import describe
from tests.benchmarks.peers import worlds
from tests.benchmarks.peers.libraries import find_all
from tests.benchmarks.peers.results import Beside, Compared, Run
from tests.benchmarks.peers.rules import SHARED, Shared
from tests.benchmarks.peers.turns import play_rounds, take_turns


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run, with the seconds of turns that each comparison gets."""

    name: str
    cells: tuple[Cell, ...]
    searches: tuple[Cell, ...]
    seconds: float
    whole: bool
    """Whether the worlds are played to their end."""


WHOLE_TURNS = 2
"""Turns of a whole federation, which takes seconds."""

_SMALL = (Cell(10, 1_000), Cell(15, 2_000), Cell(100, 2_000))
SIZES = {
    sizes.name: sizes
    for sizes in (
        Sizes("check", (Cell(10, 1_000),), (Cell(10, 1_000),), 0.0, whole=False),
        Sizes("small", (*_SMALL, Cell(15, 10_000)), (Cell(15, 2_000),), 0.05, whole=True),
        Sizes(
            "full",
            (*_SMALL, Cell(10, 10_000), Cell(100, 10_000), Cell(10, 100_000), Cell(100, 100_000)),
            (Cell(15, 2_000), Cell(15, 100_000)),
            0.2,
            whole=True,
        ),
    )
}


def measure(sizes: Sizes, tell: Callable[[str], None], keep: Callable[[Run], None]) -> Run:
    """Everything, on one thread; `tell` hears what is about to be done, `keep` gets what was found so far."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _measured(sizes, tell, keep)
    finally:
        torch.set_num_threads(threads)


def _measured(sizes: Sizes, tell: Callable[[str], None], keep: Callable[[Run], None]) -> Run:
    run = Run(sizes.name, describe(), find_all())
    present = {found.name for found in run.libraries if not found.missing}
    for cell in sizes.cells:
        rows = matrix(cell)
        for shared in SHARED:
            names = [name for name in shared.peers if name in present]
            if names and cell.n <= shared.most_rows:
                tell(f"{shared.label}, {cell}")
                run.rules.append(rule(shared, cell, rows, names, sizes.seconds))
        keep(run)
    if "byzfl" not in present:
        return run
    for cell in sizes.searches:
        tell(f"search, {cell}")
        run.worlds.append(_searched(cell, sizes.seconds))
        keep(run)
    for world in (worlds.ROUND, worlds.CELL):
        tell(world.name)
        run.worlds.append(_played(world if sizes.whole else world.short))
        keep(run)
    return run


def matrix(cell: Cell) -> torch.Tensor:
    """Noise around a common update, with the Byzantine fifth of the rows moved away."""
    rng = np.random.default_rng(cell.n)
    x = rng.standard_normal((cell.n, cell.d), dtype=np.float32) + rng.standard_normal(cell.d, dtype=np.float32)
    x[: cell.f] += 3.0
    return torch.as_tensor(x)


def rule(shared: Shared, cell: Cell, rows: torch.Tensor, names: Sequence[str], seconds: float) -> Compared:
    """One rule at one size, beside the libraries that are there."""
    ours = shared.make(cell.n, cell.f)
    expected = _numbers(shared.make(cell.n, cell.f)(rows))
    calls: dict[str, Callable[[], Any]] = {"robustfl": partial(ours, rows)}
    others: dict[str, Beside] = {}
    for name in names:
        peer = shared.peers[name]
        try:
            answer = _numbers(peer.prepare(rows.clone(), cell.f)())
        except Exception as error:  # the table says which error another library raises
            others[name] = Beside(differs=peer.differs, failed=" ".join(f"{type(error).__name__}: {error}".split()))
            continue
        others[name] = Beside(
            differs=peer.differs, deviation=None if peer.differs else _deviation(expected, answer)
        )  # fmt: skip
        calls[name] = peer.prepare(rows.clone(), cell.f)
    times = take_turns(calls, seconds)
    for name, beside in others.items():
        if name in times:
            others[name] = Beside(times[name], beside.differs, beside.deviation)
    return Compared(shared.label, str(cell), times["robustfl"], others)


def _searched(cell: Cell, seconds: float) -> Compared:
    honest = matrix(cell)[cell.f :]
    calls = worlds.search(honest, cell.f)
    deviation = _deviation(*(_numbers(calls[name]()) for name in ("robustfl", "byzfl")))
    times = take_turns(calls, seconds)
    what = f"search of {worlds.EVALUATIONS} strengths of ALIE against NNM and trimmed mean"
    return Compared(what, str(cell), times["robustfl"], {"byzfl": Beside(times["byzfl"], deviation=deviation)})


def _played(world: worlds.World) -> Compared:
    ready, accuracy = worlds.population(world), dict[str, float]()
    sides = {"robustfl": worlds.play_ours, "byzfl": worlds.play_theirs}

    def play(name: str) -> None:
        accuracy[name] = sides[name](world, ready)

    for side in sides.values():
        side(world.short, ready)  # compiles, and fills the caches
    times = play_rounds({name: partial(play, name) for name in sides}, dict.fromkeys(sides, 1), WHOLE_TURNS)
    reached = ", ".join(f"{name} {value:.3f}" for name, value in accuracy.items())
    note = f"accuracy after {world.rounds} rounds: {reached}"
    beside = Beside(times["byzfl"], differs="draws other batches")
    return Compared(world.name, f"{world.rounds} rounds, d={ready.d:,}", times["robustfl"], {"byzfl": beside}, note)


def _numbers(answer: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(answer, dtype=np.float64).ravel()


def _deviation(expected: Any, answer: Any) -> float:
    """The largest difference, as a share of the largest value; infinite where the shapes differ or a value is NaN."""
    if expected.shape != answer.shape:
        return math.inf
    largest = float(np.abs(expected - answer).max()) / max(float(np.abs(expected).max()), 1e-30)
    return largest if math.isfinite(largest) else math.inf
