"""What a white-box search costs, in plain aggregations of the same rows.

    pytest tests/benchmarks/test_white_box.py --benchmark-enable

For defenses that look at products alone the search asks in few dimensions, and twenty candidates should cost no more
than three aggregations; the others are asked in full, once a candidate, which the last rows of the table show. Ratios
are of times within one run, and printed, not asserted.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from robustfl.aggregation import Aggregator
from robustfl.attacks import WhiteBox
from robustfl.defenses import NNM, GeometricMedian, Krum, Median, MultiKrum, TrimmedMean
from robustfl.threats import Adversary, Facts
from tests.benchmarks.timing import Turns

N, F, D = 20, 4, 1_000_000
CANDIDATES = 20
WANTED = 3.0

RULES: tuple[Aggregator, ...] = (
    NNM(f=F) >> Krum(f=F),
    Krum(f=F),
    MultiKrum(f=F),
    GeometricMedian(),
    TrimmedMean(f=F),
    Median(),
)


class Table:
    """Ratios by rule, written below the results."""

    def __init__(self) -> None:
        self.ratios: dict[str, tuple[float, bool]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.ratios:
            return
        terminalreporter.section(f"a search of {CANDIDATES} candidates, in aggregations at n={N}, d={D:,}")
        for rule, (ratio, reduced) in self.ratios.items():
            verdict = f"{'met' if ratio <= WANTED else 'missed'}: <= {WANTED:g}x" if reduced else "no Gram form"
            terminalreporter.line(f"{rule:<24} {ratio:>6.2f}x  {verdict}")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    made = Table()
    request.config.pluginmanager.register(made)
    return made


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_white_box(benchmark: BenchmarkFixture, table: Table, rule: Aggregator) -> None:
    d = 1_000 if benchmark.disabled else D
    rows = torch.as_tensor(np.random.default_rng(0).standard_normal((N, d), dtype=np.float32) + 0.1)
    asked: list[int] = []

    def aggregate(updates: torch.Tensor) -> torch.Tensor:
        asked.append(updates.shape[1])
        value: torch.Tensor = rule.preview(updates).value
        return value

    honest = rows[F:]
    attack = WhiteBox(candidates=CANDIDATES, directions=("mean",), pool=False)
    facts = Facts(
        round=0,
        f=F,
        declared_f=F,
        honest=honest,
        honest_ids=tuple(range(F, N)),
        own=lambda: honest[:F],
        aggregate=aggregate,
        rotation_equivariant=rule.rotation_equivariant,
    )
    turns = Turns({"aggregation": lambda: rule.preview(rows)}, {})
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: Adversary(attack).craft(facts),
        setup=turns,
        rounds=5 if rule.rotation_equivariant else 2,
        warmup_rounds=1,
    )
    assert len(asked) % CANDIDATES == 0
    assert max(asked) <= (N + 3 if rule.rotation_equivariant else d)
    if benchmark.disabled or benchmark.stats is None:
        return
    table.ratios[str(rule)] = benchmark.stats.stats.min / turns.best["aggregation"], rule.rotation_equivariant
    benchmark.extra_info.update(ratio=table.ratios[str(rule)][0], candidates=CANDIDATES)
