"""The table of all rules: one row a rule, with a way to make it, an oracle and what it promises.

Every test of the common checks walks this table, and a test in `test_properties.py` fails when a registered defense
is missing from it. To add a rule: an oracle, and one row here or in a module that is collected at the end.
"""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.defenses import (
    NNM,
    Bucketing,
    CenteredClipping,
    Clipping,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)
from tests.aggregation import (
    client_side_rules,
    column_rules,
    flag_rules,
    gram_rules,
    oracles,
    prediction_rules,
    reputation_rules,
    rffl_rules,
)
from tests.aggregation.case import MAJORITY as MAJORITY
from tests.aggregation.case import Case as Case
from tests.aggregation.case import at_least
from tests.aggregation.oracles import Matrix

RULES = [
    Case("mean", lambda f: Mean(), oracles.mean, at_least(0, 1), told=False, robust_from=None),
    Case("median", lambda f: Median(), oracles.median, at_least(0, 1), told=False, rotation=False),
    Case("trimmed mean", lambda f: TrimmedMean(f=f), oracles.trimmed_mean, at_least(2, 1), rotation=False),
    Case("krum", lambda f: Krum(f=f), oracles.krum(), at_least(2, 3)),
    Case("krum, n-f-1", lambda f: Krum(f=f, neighbours="n-f-1"), oracles.krum(extra=1), at_least(2, 1)),
    Case("krum, plain distances", lambda f: Krum(f=f, squared=False), oracles.krum(power=1), at_least(2, 3)),
    Case("multi-krum", lambda f: MultiKrum(f=f), oracles.multi_krum(), at_least(2, 3)),
    Case("multi-krum, k=2", lambda f: MultiKrum(f=f, k=2), oracles.multi_krum(k=2), at_least(2, 3)),
    Case(
        "multi-krum, k=1, n-f-1",
        lambda f: MultiKrum(f=f, k=1, neighbours="n-f-1"),
        oracles.multi_krum(k=1, extra=1),
        at_least(2, 1),
    ),
    Case(
        "geometric median",
        lambda f: GeometricMedian(iterations=20_000, tolerance=1e-13),
        oracles.geometric_median,
        at_least(0, 1),
        told=False,
        tolerance=1e-6,
    ),
    Case(
        "published RFA",
        lambda f: GeometricMedian(iterations=3, smoothing=1e-6, start="mean"),
        oracles.weiszfeld(3, 1e-6, at_mean=True),
        at_least(0, 1),
        told=False,
        scaling=False,  # the smoothing is a length
        robust_from=None,  # three steps from the mean do not get far
    ),
    Case(
        "centered clipping",
        lambda f: CenteredClipping(radius=1.0),
        oracles.centered_clipping(1.0, 1),
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        box=False,
    ),
    Case(
        "centered clipping, median",
        lambda f: CenteredClipping(iterations=3),
        oracles.centered_clipping(None, 3),
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
    ),
    Case(
        "nnm, mean",
        lambda f: NNM(f=f) >> Mean(),
        lambda x, f: oracles.mean(oracles.nnm(x, f)),
        at_least(2, 1),
        robust_from=None,
    ),
    Case(
        "nnm, trimmed mean",
        lambda f: NNM(f=f) >> TrimmedMean(f=f),
        lambda x, f: oracles.trimmed_mean(oracles.nnm(x, f), f),
        at_least(2, 1),
        rotation=False,
    ),
    Case(
        "clipping, geometric median",
        lambda f: Clipping() >> GeometricMedian(iterations=20_000, tolerance=1e-13),
        lambda x, f: oracles.geometric_median(oracles.clip_all(x)),
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
        tolerance=1e-6,
    ),
    Case(
        "clipping to 2, mean",
        lambda f: Clipping(radius=2.0) >> Mean(),
        lambda x, f: oracles.mean(oracles.clip_all(x, 2.0)),
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        box=False,
    ),
    Case(
        "bucketing, median",
        lambda f: Bucketing(size=2, seed=3) >> Median(),
        lambda x, f: oracles.median(oracles.buckets(x, 2, seed=3)),
        at_least(0, 1),
        told=False,
        permutation=False,
        rotation=False,
        robust_from=at_least(4, 1),
    ),
    Case(
        "bucketing, krum",
        lambda f: Bucketing(size=2) >> Krum(f=f),
        lambda x, f: oracles.krum()(oracles.buckets(x, 2), f),
        at_least(4, 5),
        permutation=False,
    ),
    Case(
        "nnm, bucketing, trimmed mean",  # a rule that picks rows would meet ties: mixed rows often coincide
        lambda f: NNM(f=f) >> Bucketing(size=2, seed=1) >> TrimmedMean(f=f),
        lambda x, f: oracles.trimmed_mean(oracles.buckets(oracles.nnm(x, f), 2, seed=1), f),
        at_least(4, 1),
        permutation=False,
        rotation=False,
    ),
    Case(
        "nnm, clipping, centered clipping",
        lambda f: NNM(f=f) >> Clipping() >> CenteredClipping(),
        lambda x, f: oracles.centered_clipping(None, 1)(oracles.clip_all(oracles.nnm(x, f)), f),
        at_least(2, 1),
        translation=False,
        box=False,
    ),
    *gram_rules.RULES,
    *column_rules.RULES,
    *flag_rules.RULES,
    *reputation_rules.RULES,
    *rffl_rules.RULES,
    *prediction_rules.RULES,
    *client_side_rules.RULES,
]

each_rule = pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)


def rules(**flags: bool | None) -> pytest.MarkDecorator:
    """The rules whose flags have these values, as a parametrisation over `case`."""
    chosen = [case for case in RULES if all(getattr(case, name) == value for name, value in flags.items())]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


GOLDEN = np.array(
    [
        [1.0, 2.0, -1.0],
        [1.5, 1.25, -0.5],
        [0.5, 2.75, -1.75],
        [1.2, 0.8, -1.1],
        [10.0, -10.0, 10.0],  # the attacker
        [0.9, 1.6, -0.7],
        [1.3, 2.2, -1.4],
    ]
)
"""Seven rows, one of them an attacker's, for which many rules were worked out by hand."""


def gaussian(seed: int, n: int, d: int, offset: float = 1.0) -> Matrix:
    """Rows in general position: no ties, spread 1 around a common part of the size of `offset`."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + offset * rng.normal(size=d)
