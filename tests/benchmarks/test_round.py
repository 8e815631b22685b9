"""How fast a round is, and how little of it is the engine's own: everything besides clients and defense.

    pytest tests/benchmarks/test_round.py --benchmark-enable

The table at the end shows, for each world, rounds per second with clients computed all at once (vmap) and one by one
(loop), the ratio of both, and the share of a round that is neither client compute nor aggregation. Only this share is
asserted, as a median over repeats: it is a ratio of times within one run, so a slow machine does not change it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustfl.defenses import TrimmedMean
from robustfl.federation import Federation, Population, Simulation, Task, assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Model

LARGEST_SHARE = 0.10
REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Noise(Data):
    """Random images of the size of Fashion-MNIST, [1, 28, 28] with ten classes: only their number matters here."""

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        x = np.random.default_rng(0).random((2_000, 1, 28, 28), dtype=np.float32)
        y = np.arange(2_000) % 10
        return Dataset(name="noise", train_x=x, train_y=y, test_x=x[:100], test_y=y[:100], classes=tuple("0123456789"))


@dataclass(frozen=True)
class World:
    """A task and its size, with the rounds that make a repeat."""

    name: str
    data: Data
    model: Model
    clients: int
    batch_size: int
    rounds: int

    def population(self) -> Population:
        return Task(data=self.data, model=self.model, partition=IID()).prepare(clients=self.clients, seed=0)

    def settings(self, mode: str) -> Federation:
        values = {"clients": self.clients, "rounds": self.rounds, "batch_size": self.batch_size, "client_mode": mode}
        return Federation.model_validate({**values, "evaluate_every": self.rounds})


FASHION = World("images, MLP 784-100-10", Noise(), MLP(hidden=(100,)), clients=20, batch_size=32, rounds=15)
WORLDS = (
    World("digits, MLP 64-32-10", Digits(), MLP(), clients=15, batch_size=16, rounds=100),
    FASHION,
    World("digits, CNN 4-8", Digits(), CNN(channels=(4, 8)), clients=15, batch_size=16, rounds=15),
    World("images, CNN 4-8", Noise(), CNN(channels=(4, 8)), clients=20, batch_size=32, rounds=3),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the workers of a run; several threads on a busy machine would measure how they wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


class Table:
    """World -> mode -> figures, written below the results."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, dict[str, float]]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.figures:
            return
        terminalreporter.section("rounds per second, and the engine's share of a round")
        terminalreporter.line(f"{'world':<24} {'n':>3} {'vmap r/s':>9} {'loop r/s':>9} {'vmap/loop':>9} {'engine':>7}")
        for world in WORLDS:
            modes = self.figures.get(world.name, {})
            vmap, loop = (modes.get(mode, {}).get("rounds_per_second", math.nan) for mode in ("vmap", "loop"))
            share = max((figures["engine_share"] for figures in modes.values()), default=math.nan)
            terminalreporter.line(
                f"{world.name:<24} {world.clients:>3} {vmap:>9.1f} {loop:>9.1f} {vmap / loop:>9.2f} {share:>7.1%}"
            )


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


def engine_share(seconds: dict[str, float]) -> float:
    """The share of all time but that of the test set that is neither client compute nor aggregation."""
    return 1.0 - (seconds["compute_s"] + seconds["aggregate_s"]) / (seconds["total_s"] - seconds["evaluate_s"])


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_round(benchmark: BenchmarkFixture, table: Table, world: World, mode: str) -> None:
    population, settings, shares = world.population(), world.settings(mode), []

    def play(sim: Simulation) -> None:
        trace = sim.run()
        shares.append(engine_share(trace.seconds))
        assert trace.accuracy[-1][0] == world.rounds

    def fresh() -> tuple[tuple[Simulation], dict[str, Any]]:
        return (assemble(population, settings, TrimmedMean(f=world.clients // 5)),), {}

    benchmark.pedantic(play, setup=fresh, rounds=REPEATS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    if benchmark.disabled or benchmark.stats is None:
        return
    figures = {
        "rounds_per_second": world.rounds / benchmark.stats.stats.median,
        "engine_share": median(shares[1:]),
    }
    benchmark.extra_info.update(figures, parameters=population.d)
    table.figures.setdefault(world.name, {})[mode] = figures
    if world is FASHION:
        assert figures["engine_share"] < LARGEST_SHARE
