"""What is checked on an accelerator, a part at a time: its tests, aggregation, cohorts of trials, and a federation.

Every part gives rows for the table; nothing is asserted about times. On a CPU, in tiny sizes, the same code runs, so
that what can go wrong without an accelerator goes wrong in a test.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustfl.aggregation import Aggregator
from robustfl.defenses import NNM, CenteredClipping, GeometricMedian, Krum, Mean, Median, MultiKrum, TrimmedMean
from robustfl.federation import Federation, Population, Task, assemble
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID
from robustfl.federation.lockstep import together
from robustfl.federation.models.architectures import MLP, ResNet20
from tests.benchmarks.grid import Cell
from tests.benchmarks.references import column_mean, device_gram_pass
from tests.benchmarks.timing import Turns, rounds_for, seconds

ROOT = Path(__file__).resolve().parents[3]
ORDER_LIMIT, GRAM_LIMIT = 8.0, 1.5
"""Times the column mean, and times the matrix product with the weighted sum, that are wanted at the large size."""


@dataclass(frozen=True)
class Plan:
    """The device, the sizes of all parts, and the seconds that all of them may take together."""

    device: str
    large: Cell
    small: tuple[Cell, ...]
    trials: int
    rounds: int
    clients: int
    batch: int
    repeats: float
    limit: float
    tests: tuple[str, ...]

    @property
    def wait(self) -> Callable[[], None] | None:
        return torch.cuda.synchronize if self.device == "cuda" else None


@dataclass(frozen=True)
class Row:
    """A line of the table. `met` is None where no bound is wanted."""

    part: str
    what: str
    size: str
    value: str
    wanted: str = ""
    met: bool | None = None


def marked() -> tuple[str, ...]:
    """The files of tests that need an accelerator, but for benchmarks, which are other parts."""
    files = (ROOT / "tests").rglob("test_*.py")
    found = [path for path in files if "mark.cuda" in path.read_text(encoding="utf-8")]
    return tuple(sorted(str(path.relative_to(ROOT)) for path in found if "benchmarks" not in path.parts))


def whole(device: str) -> Plan:
    return Plan(
        device=device,
        large=Cell(100, 10_000_000),
        small=(Cell(15, 2_000), Cell(100, 2_000), Cell(100, 100_000)),
        trials=32,
        rounds=30,
        clients=20,
        batch=32,
        repeats=2.0,
        limit=460.0,
        tests=marked(),
    )


def tiny(device: str) -> Plan:
    """Everything once, on almost nothing."""
    return replace(
        whole(device),
        large=Cell(10, 1_000),
        small=(Cell(10, 100),),
        trials=2,
        rounds=1,
        clients=3,
        batch=2,
        repeats=0.0,
        limit=600.0,
        tests=("tests/threats/test_gossip.py",),
    )


class PartError(Exception):
    """A part that could not be carried out, or whose tests failed; the message says why."""


def run_tests(plan: Plan, left: float) -> Iterator[Row]:
    """The tests marked `cuda`, in a process of their own; on a CPU they are collected and skip."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", *plan.tests]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(left, 1.0), check=False)
    except subprocess.TimeoutExpired:
        raise PartError(f"the tests took longer than the {left:.0f} s that were left") from None
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", done.stdout)}
    told = ", ".join(f"{number} {word}" for word, number in counts.items())
    if done.returncode != 0 or not counts:
        raise PartError(f"pytest ended with {done.returncode}: {told or done.stdout[-300:] + done.stderr[-300:]}")
    if plan.device == "cuda" and not counts.get("passed"):
        raise PartError(f"no test used the device: {told}")
    yield Row("tests", "marked cuda", f"{len(plan.tests)} files", told)


def aggregation(plan: Plan, left: float) -> Iterator[Row]:
    """Order statistics against the column mean, Gram rules against the product, and small problems."""
    end = time.monotonic() + left
    large = _fitting(plan.large, plan.device)
    for cell in (*plan.small, large):
        x, f = _matrix(cell, plan.device), cell.f
        order: dict[str, Aggregator] = {"Median": Median(), "TrimmedMean": TrimmedMean(f=f)}
        gram: dict[str, Aggregator] = {
            "Krum": Krum(f=f), "MultiKrum": MultiKrum(f=f), "GeometricMedian": GeometricMedian(),
            "CenteredClipping": CenteredClipping(), "NNM >> Mean": NNM(f=f) >> Mean(),
        }  # fmt: skip
        rules = [(name, rule, column_mean, "column mean", ORDER_LIMIT) for name, rule in order.items()]
        rules += [(name, rule, device_gram_pass, "Gram pass", GRAM_LIMIT) for name, rule in gram.items()]
        for name, rule, reference, against, limit in rules:
            if time.monotonic() > end:
                raise PartError(f"no time was left for {name} at {cell} and what follows it")
            took, ratio = _ratio(rule, x, partial(reference, x, f), plan)
            bounded = cell == large and large.d == plan.large.d and plan.device == "cuda"
            yield Row(
                "aggregation",
                name,
                str(cell),
                f"{1e3 * took:.3g} ms, {ratio:.3g}x the {against}",
                f"<= {limit:g}x" if bounded else "",
                ratio <= limit if bounded else None,
            )
        del x


def cohorts(plan: Plan, left: float) -> Iterator[Row]:
    """Trials side by side in one batched computation of clients, against the same trials one after another."""
    task = Task(data=Digits(), model=MLP(), partition=IID())
    population = task.prepare(clients=15, seed=0, device=plan.device)
    settings = Federation.model_validate({"clients": 15, "rounds": plan.rounds, "evaluate_every": plan.rounds})
    train = trainer_for(population, settings)

    def play(seed: int, trainer: Trainer) -> float:
        trace = assemble(population, settings, TrimmedMean(f=3), seed=seed, trainer=trainer).run()
        return float(trace.accuracy[-1][1])

    plays = [partial(play, seed) for seed in range(plan.trials)]
    plays[0](train)  # compiles
    for size in sorted({1, plan.trials // 4, plan.trials} - {0}):
        if size == 1:
            alone, accuracies = _timed(lambda: [one(train) for one in plays], plan)
            yield Row("cohorts", "one trial after another", f"{plan.trials} trials", _each(alone, plan.trials))
            continue
        groups = [plays[start : start + size] for start in range(0, len(plays), size)]
        took, found = _timed(lambda groups=groups: [a for group in groups for a in together(group, train)], plan)
        spread = max(abs(a - b) for a, b in zip(accuracies, found, strict=True))
        text = f"{_each(took, plan.trials)}, {alone / took:.3g}x as fast, accuracies differ by {spread:.3g} at most"
        yield Row("cohorts", f"{size} trials side by side", f"{plan.trials} trials", text)


@dataclass(frozen=True, kw_only=True)
class Coloured(Data):
    """Generated images in the shape of CIFAR-10, [3, 32, 32] with ten classes: only their size matters here."""

    samples: int = 2_000

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        x = np.random.default_rng(0).random((self.samples + 20, 3, 32, 32), dtype=np.float32)
        y, cut = np.arange(self.samples + 20) % 10, self.samples
        return Dataset(
            name="generated", train_x=x[:cut], train_y=y[:cut], test_x=x[cut:], test_y=y[cut:],
            classes=tuple("0123456789"),
        )  # fmt: skip


def federation(plan: Plan, left: float) -> Iterator[Row]:
    """A ResNet-20 in a federation: rounds per second, and where their time goes."""
    samples = max(100, 100 * plan.clients)
    task = Task(data=Coloured(samples=samples), model=ResNet20(), partition=IID())
    population = task.prepare(clients=plan.clients, seed=0, device=plan.device)
    if plan.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for name, defense in _defenses(plan.clients // 5):
        yield _rounds(plan, population, name, defense)
    if plan.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e9
        yield Row("federation", "peak memory of the device", f"{plan.clients} clients", f"{peak:.3g} GB")


def _defenses(f: int) -> Sequence[tuple[str, Aggregator]]:
    return [("ResNet-20, TrimmedMean", TrimmedMean(f=f)), ("ResNet-20, NNM >> Krum", NNM(f=f) >> Krum(f=f))]


def _rounds(plan: Plan, population: Population, name: str, defense: Aggregator) -> Row:
    values = {"clients": plan.clients, "rounds": plan.rounds, "batch_size": plan.batch}
    settings = Federation.model_validate({**values, "evaluate_every": plan.rounds})
    warm = settings.model_copy(update={"rounds": 1, "evaluate_every": 1})
    assemble(population, warm, defense).run()
    took, trace = _timed(lambda: assemble(population, settings, defense).run(), plan)
    spent = {key.removesuffix("_s"): value for key, value in trace.seconds.items() if key.endswith("_s")}
    shares = ", ".join(f"{key} {spent[key] / spent['total']:.0%}" for key in ("compute", "aggregate", "evaluate"))
    size = f"{plan.clients} clients, batch {plan.batch}, d={population.d:,}"
    return Row("federation", name, size, f"{plan.rounds / took:.3g} rounds/s; {shares}")


PARTS: dict[str, Callable[[Plan, float], Iterator[Row]]] = {
    "tests": run_tests,
    "aggregation": aggregation,
    "cohorts": cohorts,
    "federation": federation,
}


def _fitting(cell: Cell, device: str) -> Cell:
    """The cell, with so many columns that four such matrices fit into the free memory of the device."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
    elif hasattr(os, "sysconf"):
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return cell
    return Cell(cell.n, max(1_000, min(cell.d, free // (16 * cell.n))))


def _matrix(cell: Cell, device: str) -> torch.Tensor:
    generator = torch.Generator(device=device).manual_seed(cell.n)
    x = torch.randn((cell.n, cell.d), device=device, generator=generator)
    x[: cell.f] += 3.0
    return x


def _ratio(rule: Aggregator, x: torch.Tensor, reference: Callable[[], Any], plan: Plan) -> tuple[float, float]:
    """The best time of the rule, and how many times the best time of the reference it is; both took turns."""
    wait = plan.wait
    value = rule(x)
    if tuple(value.shape) != (x.shape[1],) or not bool(torch.isfinite(value).all()):
        raise PartError(f"{rule} gave no finite vector of {x.shape[1]} values")
    turns, best = Turns({"reference": reference}, {}, wait), math.inf
    reference()
    for _ in range(rounds_for(plan.repeats, seconds(partial(rule, x), wait), seconds(reference, wait), 1.0)):
        turns()
        best = min(best, seconds(partial(rule, x), wait))
    return best, best / turns.best["reference"]


def _timed(call: Callable[[], Any], plan: Plan) -> tuple[float, Any]:
    found: list[Any] = []
    took = seconds(lambda: found.append(call()), plan.wait)
    return took, found[0]


def _each(took: float, trials: int) -> str:
    return f"{1e3 * took / trials:.3g} ms a trial"
