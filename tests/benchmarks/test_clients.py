"""How much faster clients are with gradients that are written out than with differentiated networks.

    pytest tests/benchmarks/test_clients.py --benchmark-enable

The trainers take turns on one thread, and the best turn of each counts, in seconds of the processor. The table at the
end shows their ratios to vmap. For the networks of the smallest suites and for convolutional ones they are asserted, as
ratios within one run: no convolutional network may take longer than vmap or one client after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustfl.federation import Federation, Population, Task
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.clients.written_out import ConvolutionalTrainer, FullyConnectedTrainer
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.dataset import Data
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from tests.benchmarks.test_round import Noise

SMALL_DENSE, SMALL_CONVOLUTIONS, IMAGES = 0.25, 0.6, 0.9
TURNS = 25


@dataclass(frozen=True)
class Work:
    """What clients do in a round, and the largest ratio to the faster of the trainers that differentiate, if any."""

    name: str
    data: Data
    model: Model
    clients: int
    steps: int
    largest: float = float("inf")


WORKS = (
    Work("digits, softmax", Digits(), Softmax(), clients=15, steps=1, largest=SMALL_DENSE),
    Work("digits, MLP 64-24-10", Digits(), MLP(hidden=(24,)), clients=15, steps=1, largest=SMALL_DENSE),
    Work("digits, MLP 64-24-10, 5 steps", Digits(), MLP(hidden=(24,)), clients=15, steps=5, largest=SMALL_DENSE),
    Work("digits, MLP, 100 clients", Digits(), MLP(hidden=(24,)), clients=100, steps=1),
    Work("images, MLP 784-100-10", Noise(), MLP(hidden=(100,)), clients=15, steps=1),
    Work("images, MLP, 5 steps", Noise(), MLP(hidden=(100,)), clients=15, steps=5),
    Work("digits, CNN", Digits(), CNN(), clients=15, steps=1, largest=SMALL_CONVOLUTIONS),
    Work("digits, CNN, 5 steps", Digits(), CNN(), clients=15, steps=5, largest=SMALL_CONVOLUTIONS),
    Work("digits, CNN, 100 clients", Digits(), CNN(), clients=100, steps=1),
    Work("images, CNN", Noise(), CNN(), clients=15, steps=1, largest=IMAGES),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


class Table:
    """Work -> milliseconds of all trainers, written below the results."""

    def __init__(self) -> None:
        self.figures: dict[str, list[float]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.figures:
            return
        terminalreporter.section("client work of a round, one thread, batches of 16")
        terminalreporter.line(f"{'work':<32} {'vmap ms':>9} {'loop ms':>9} {'written ms':>11} {'written/vmap':>13}")
        for name, (vmap, loop, written) in self.figures.items():
            terminalreporter.line(f"{name:<32} {vmap:>9.3f} {loop:>9.3f} {written:>11.3f} {written / vmap:>13.3f}")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


def processor_seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def batches(made: Population, work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (work.clients, work.steps, 16)
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(len(made.labels), shape, generator=generator)
    return made.features[index], made.labels[index]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_client_work(benchmark: BenchmarkFixture, table: Table, work: Work) -> None:
    made = Task(data=work.data, model=work.model, partition=IID()).prepare(clients=work.clients, seed=0)
    x, y = batches(made, work)
    values = {"clients": work.clients, "rounds": 1, "batch_size": 16, "local_steps": work.steps, "algorithm": "fedavg"}
    vmap, loop, auto = (
        trainer_for(made, Federation.model_validate({**values, "client_mode": mode}))
        for mode in ("vmap", "loop", "auto")
    )
    assert isinstance(auto, ConvolutionalTrainer if work.model.convolutional else FullyConnectedTrainer)
    written = benchmark.pedantic(auto, args=(made.initial, x, y), rounds=5, warmup_rounds=1)  # type: ignore[no-untyped-call]
    expected = vmap(made.initial, x, y)
    if work.model.convolutional:  # rounding decides which of two pixels is the larger one, and moves a whole derivative
        assert float((written - expected).norm()) <= 1e-3 * float(expected.norm())
    else:
        torch.testing.assert_close(written, expected, rtol=1e-4, atol=2e-6)
    if benchmark.disabled or benchmark.stats is None:
        return
    repeats = max(1, int(0.02 / processor_seconds(lambda: vmap(made.initial, x, y), 2)))
    trainers: tuple[Trainer, ...] = (vmap, loop, auto)
    best = [float("inf")] * len(trainers)
    for _ in range(TURNS):
        for place, train in enumerate(trainers):
            taken = processor_seconds(lambda train=train: train(made.initial, x, y), repeats)  # type: ignore[misc]
            best[place] = min(best[place], taken)
    table.figures[work.name] = [1000 * taken for taken in best]
    benchmark.extra_info.update(ratio=best[2] / best[0], parameters=made.d)
    assert best[2] <= work.largest * min(best[:2])
