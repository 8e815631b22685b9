"""How much slower than the plain column mean the rules are at 1e5 parameters; runs with `--benchmark-enable`.

Every benchmark records `times_the_mean` beside its own time, so that saved results compare across machines.
"""

from __future__ import annotations

import timeit
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation import Aggregator
from robustfl.defenses import NNM, GeometricMedian, Krum, Median, TrimmedMean

COLUMNS = 100_000
RULES = [
    Krum(f=4),
    TrimmedMean(f=4),
    Median(),
    GeometricMedian(),
    NNM(f=4) >> TrimmedMean(f=4),
]


@pytest.mark.benchmark(group="aggregation")
@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_speed_against_the_column_mean(benchmark: Any, rule: Aggregator, n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, COLUMNS)).astype(np.float32)
    value = benchmark(rule, x)
    assert value.shape == (COLUMNS,)
    assert np.abs(value).max() <= np.abs(x).max()
    if benchmark.enabled:
        mean = min(timeit.repeat(lambda: x.mean(axis=0), number=1, repeat=5))
        benchmark.extra_info["times_the_mean"] = round(benchmark.stats.stats.min / mean, 1)
