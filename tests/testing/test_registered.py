"""Every registered rule keeps every promise that it makes; what it does not promise is written down."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator, PreAggregation
from robustfl.testing import check_aggregator, properties

VARIANTS = {
    "CenteredClipping(radius=1.0)": frozenset[str](),
    "Clipping(radius=2.0)": frozenset[str](),
    "GeometricMedian(iterations=3, smoothing=1e-06, start='mean')": frozenset[str](),
    "GeometricMedian(start='origin', iterations=3, smoothing=0.1)": frozenset[str](),
    "NNM(f=1) >> Krum(f=1)": frozenset({"permutation", "arrival", "names"}),
    "Bucketing(size=2) >> Median": frozenset[str](),
    "NNM(f=1) >> Clipping >> GeometricMedian": frozenset[str](),
    "Krum(f=1, neighbours='n-f-1')": frozenset[str](),
    "MultiKrum(f=1, k=2)": frozenset[str](),
    "TrimmedMean(f=2)": frozenset[str](),
    "NNM(f=1) >> TrimmedMean(f=1)": frozenset[str](),
}
"""Rules with parameters, and what they lack although no part says so: mixed rows often coincide, and Krum takes the
first of equal scores."""


NEEDED: dict[str, dict[str, Any]] = {"NormBound": {"radius": 2.0}, "RobustLearningRate": {"threshold": 2}}
"""Hyper-parameters that have no default, beside f."""

REGISTERED = [cls.__name__ for cls in registry.find("defense").values() if issubclass(cls, Aggregator | PreAggregation)]


def build(name: str) -> Any:
    """A registered rule with f=1 where it is told f, and else with its defaults; or what a text says."""
    return registry.build("defense", {name: NEEDED[name]} if name in NEEDED else name, f=1)


def test_the_walk_finds_the_rules() -> None:
    assert {"Mean", "Krum", "NNM", "Bucketing"} <= set(REGISTERED)
    assert set(NEEDED) <= set(REGISTERED)
    assert set().union(*(build(name).unclaimed for name in (*REGISTERED, *VARIANTS))) <= set(properties())


@pytest.mark.parametrize("name", [*REGISTERED, *VARIANTS])
def test_a_registered_rule_keeps_its_promises(name: str) -> None:
    report = check_aggregator(build(name), skip=VARIANTS.get(name, ()), max_examples=12)
    assert len(report.named("held")) >= 15


@pytest.mark.parametrize("name", ["Mean", "Bucketing", "Clipping", "CenteredClipping(radius=1.0)"])
def test_what_is_not_promised_does_not_hold(name: str) -> None:
    unclaimed = build(name).unclaimed
    report = check_aggregator(build(name), claims=unclaimed, max_examples=100, raise_on_violation=False)
    assert set(report.violated) == unclaimed
