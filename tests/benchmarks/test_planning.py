"""What it costs to improve a plan by one step where nothing is left to autograd but the aim, in the time of autograd.

    pytest tests/benchmarks/test_planning.py --benchmark-enable

The network, the samples and the rounds are those of `leaderboard_digits`. Both ways have the same result, which is
asserted. Ratios are of processor times within one run, and printed, not asserted.
"""

from __future__ import annotations

import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from robustfl.defenses import Mean
from robustfl.evaluation.run.executors import one_thread
from robustfl.federation import Task, assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP
from robustfl.threats.updates.planning.planner import Objective
from robustfl.threats.updates.planning.rollout import Rollout
from tests.benchmarks.timing import Turns
from tests.federation.worlds import rules
from tests.threats.test_planning import SEEN, Spying, planned
from tests.threats.test_unrolled import by_autograd

CLIENTS, SAMPLES, ROUNDS = 15, 384, 60
WANTED = 0.5

pytestmark = pytest.mark.benchmark(timer=time.process_time)


class Table:
    """Ratios by the number of plans, written below the results."""

    def __init__(self) -> None:
        self.ratios: dict[int, float] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.ratios:
            return
        terminalreporter.section(f"a step of a plan for {ROUNDS} rounds, in steps by autograd")
        for plans, ratio in self.ratios.items():
            verdict = f"{'met' if ratio <= WANTED else 'missed'}: <= {WANTED:g}x"
            terminalreporter.line(f"{plans} plan{'s' if plans > 1 else ' '} {ratio:>6.2f}x  {verdict}")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


@pytest.fixture(scope="module")
def rolled() -> Rollout:
    """The roll-out of a whole training."""
    SEEN.clear()
    task = Task(data=Digits(), model=MLP(hidden=(24,)), partition=IID()).prepare(clients=CLIENTS, seed=0)
    settings = rules(clients=CLIENTS, rounds=ROUNDS, batch_size=16, server={"learning_rate": 0.3})
    assemble(task, settings, Mean(), attack=Spying(), f=1, seed=1).run()
    found = Objective(learns="peers", judges="peers").samples(SEEN[0], SAMPLES)
    assert found is not None
    return planned(SEEN[0], reach=0.1, counted=(-1, -2, -3), lessons=found[0], aim=found[1])


@pytest.mark.parametrize("plans", [1, 3])
def test_planning(benchmark: BenchmarkFixture, table: Table, rolled: Rollout, plans: int) -> None:
    directions = torch.nn.functional.normalize(torch.ones(plans, ROUNDS, rolled.model.numel()), dim=-1)
    usual = by_autograd(rolled)
    with one_thread():
        turns = Turns({"autograd": lambda: usual.slopes(directions)}, {}, clock=time.process_time)
        found = benchmark.pedantic(  # type: ignore[no-untyped-call]
            lambda: rolled.slopes(directions), setup=turns, rounds=20, warmup_rounds=1
        )
    assert torch.equal(found[1], usual.slopes(directions)[1])
    if benchmark.disabled or benchmark.stats is None:
        return
    table.ratios[plans] = benchmark.stats.stats.min / turns.best["autograd"]
    benchmark.extra_info.update(ratio=table.ratios[plans], plans=plans)
