"""How the time of a round and the memory grow with the clients that take no part in it.

    pytest tests/benchmarks/test_population.py --benchmark-enable

Each size is played in a process of its own, so that its peak of memory is its own: a hundred clients take part in a
round, out of a thousand, ten thousand, a hundred thousand and a million, plain and with client momentum. The table at
the end shows the processor time of the fastest round and of the mean one, what the fastest takes beyond that of a
thousand clients, and the peak of memory. Only the peak is asserted: a hundred thousand clients need less than a
thousand megabytes, with all libraries.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from robustfl import registry
from robustfl.defenses import TrimmedMean
from robustfl.federation import Federation, Task, assemble
from robustfl.federation.data.partitions import Overlapping

CLIENTS = (1_000, 10_000, 100_000, 1_000_000)
PER_ROUND, WARM, ROUNDS = 100, 3, 40
LARGEST = 100_000
MOST_MEGABYTES = 1_000


def play(clients: int, momentum: float, rounds: int) -> dict[str, Any]:
    """Play rounds of a federation of so many clients, a fifth of which are malicious; runs in a process of its own."""
    torch.set_num_threads(1)
    start = time.process_time()
    parts = {name: registry.build(name, given) for name, given in (("data", "digits"), ("model", "softmax"))}
    task = Task(**parts, partition=Overlapping(samples=20, alpha=5.0))
    values = {"clients": clients, "participation": PER_ROUND / clients, "rounds": WARM + rounds}
    settings = Federation.model_validate({**values, "client_momentum": momentum, "evaluate_every": 10**6})
    attack = registry.build("attack", "sign_flip")
    population = task.prepare(clients=clients, seed=0)
    sim = assemble(population, settings, TrimmedMean(f=PER_ROUND // 5), attack=attack, f=clients // 5)
    prepared = time.process_time() - start
    seconds = []
    for number in range(WARM + rounds):
        before = time.process_time()
        round = sim.play(number)
        seconds.append(time.process_time() - before)
        assert len(round.malicious) + len(round.honest) == PER_ROUND
    return {"prepared": prepared, "round": min(seconds[WARM:]), "mean": sum(seconds[WARM:]) / rounds, "peak": _peak()}


def _peak() -> float:
    """The largest resident size of this process so far, in megabytes. Only Linux tells that of the process alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no line VmHWM.")


class Table:
    """(clients, momentum) -> figures, written below the results."""

    def __init__(self) -> None:
        self.figures: dict[tuple[int, float], dict[str, Any]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.figures:
            return
        terminalreporter.section(f"{PER_ROUND} clients a round, out of more and more")
        names = f"{'clients':>9} {'momentum':>8} {'ms/round':>9} {'mean':>7} {'beyond':>7}"
        terminalreporter.line(f"{names} {'prepared s':>10} {'peak MB':>8}")
        for (clients, momentum), found in self.figures.items():
            base = self.figures.get((CLIENTS[0], momentum), found)
            terminalreporter.line(
                f"{clients:>9} {momentum:>8} {1e3 * found['round']:>9.2f} {1e3 * found['mean']:>7.2f} "
                f"{1e3 * (found['round'] - base['round']):>7.2f} {found['prepared']:>10.2f} {found['peak']:>8.0f}"
            )


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("clients", CLIENTS)
def test_population(benchmark: BenchmarkFixture, table: Table, clients: int, momentum: float) -> None:
    if benchmark.disabled:
        play(min(clients, 10_000), momentum, rounds=1)
        return
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = benchmark.pedantic(  # type: ignore[no-untyped-call]
            pool.apply, args=(play, (clients, momentum, ROUNDS)), rounds=1
        )
    benchmark.extra_info.update(found)
    table.figures[clients, momentum] = found
    if clients <= LARGEST:
        assert found["peak"] < MOST_MEGABYTES
