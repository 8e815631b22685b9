"""What privacy costs in time: a round with noise at the server beside a plain one.

    pytest tests/benchmarks/test_mechanisms.py --benchmark-enable

Both are played in turns by one thread, and the ratio of the medians of their CPU seconds is asserted: a machine that is
slow, or busy with something else, does not change it.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustfl.aggregation import Aggregator
from robustfl.defenses import DPFedAvg, Mean, TrimmedMean
from robustfl.federation import Federation, Task, assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP

LARGEST_RATIO = 1.3
ROUNDS, TURNS = 60, 15


@pytest.mark.parametrize("rule", [Mean(), TrimmedMean(f=3)], ids=str)
def test_a_round_with_noise_at_the_server(benchmark: BenchmarkFixture, rule: Aggregator) -> None:
    population = Task(data=Digits(), model=MLP(hidden=(24,)), partition=IID()).prepare(clients=15, seed=0)
    settings = Federation.model_validate({"clients": 15, "rounds": ROUNDS, "batch_size": 16, "evaluate_every": ROUNDS})
    private = DPFedAvg(clip=0.3, delta=1e-3, noise_multiplier=2.0) >> rule
    seconds: dict[str, list[float]] = {"plain": [], "private": []}

    def play(defense: Aggregator, name: str) -> None:
        sim = assemble(population, settings, defense)
        start = time.process_time()
        for number in range(1, ROUNDS - 1):
            sim.play(number)
        seconds[name].append(time.process_time() - start)

    def turns() -> None:
        for _ in range(TURNS):
            play(rule, "plain")
            play(private, "private")

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        benchmark.pedantic(turns, rounds=1, warmup_rounds=0 if benchmark.disabled else 1)  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    ratio = median(seconds["private"]) / median(seconds["plain"])
    benchmark.extra_info.update({"ratio": ratio, "parameters": population.d})
    if not benchmark.disabled and benchmark.stats is not None:
        assert ratio <= LARGEST_RATIO
