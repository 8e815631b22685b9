"""What it saves to search from many starts in one computation, against one search after the other with plain autograd.

    pytest tests/benchmarks/test_inversion.py --benchmark-enable

The plain loop is what published attacks do: a module, its gradient with `create_graph`, and Adam on the sign of the
slope. Ratios are of times within one run, and printed, not asserted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.nn.functional import cross_entropy

from robustfl.threats.privacy.inversion import Search, Target, inverted, total_variation
from tests.benchmarks.timing import Turns
from tests.threats.privacy.seen import Scene, digits, scene

RESTARTS, STEPS = 32, 60
WANTED = 5.0


class Table:
    """Ratios by model, written below the results."""

    def __init__(self) -> None:
        self.ratios: dict[str, float] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.ratios:
            return
        terminalreporter.section(f"one search after the other, in searches of {RESTARTS} starts at once")
        for model, ratio in self.ratios.items():
            verdict = "met" if ratio >= WANTED else "missed"
            terminalreporter.line(f"{model:<24} {ratio:>6.2f}x  {verdict}: >= {WANTED:g}x")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


def at_once(given: Scene, restarts: int, steps: int) -> Callable[[], object]:
    facts = given.facts
    target = Target(
        network=facts.network,
        models=torch.stack([seen.model for seen in facts.sightings]),
        gradients=given.messages,
        labels=given.labels[:, None],
        rate=0.1,
        low=0.0,
        high=1.0,
    )
    search = Search(iterations=steps, restarts=restarts)
    return lambda: inverted(target, search, np.random.default_rng(0))


def one_by_one(model: str, given: Scene, restarts: int, steps: int) -> Callable[[], object]:
    module = digits(model).module
    named = {name: parameter.detach().requires_grad_() for name, parameter in module.named_parameters()}
    seen, labels = given.messages[0], given.labels[0]

    def one(seed: int) -> torch.Tensor:
        start = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        x = (0.5 + 0.5 * start).clamp(0, 1).requires_grad_()
        adam = torch.optim.Adam([x], lr=0.1)
        for _ in range(steps):
            logits = torch.func.functional_call(module, named, (x,))
            slopes = torch.autograd.grad(cross_entropy(logits, labels), list(named.values()), create_graph=True)
            found = torch.cat([slope.flatten() for slope in slopes])
            loss = 1 - torch.dot(found, seen) / (found.norm() * seen.norm()) + 1e-3 * total_variation(x)[0]
            (slope,) = torch.autograd.grad(loss, x)
            x.grad = slope.sign()
            adam.step()
            x.data.clamp_(0, 1)
        return x.detach()

    return lambda: [one(seed) for seed in range(restarts)]


@pytest.mark.parametrize("model", ["mlp(hidden=(24,))", "cnn"])
def test_inversion(benchmark: BenchmarkFixture, table: Table, model: str) -> None:
    restarts, steps = (1, 1) if benchmark.disabled else (RESTARTS, STEPS)
    given = scene(model=model, victims=1)
    turns = Turns({"one by one": one_by_one(model, given, restarts, steps)}, {})
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        at_once(given, restarts, steps), setup=turns, rounds=3, warmup_rounds=1
    )
    if benchmark.disabled or benchmark.stats is None:
        return
    table.ratios[model] = turns.best["one by one"] / benchmark.stats.stats.min
    benchmark.extra_info.update(ratio=table.ratios[model], restarts=RESTARTS)
