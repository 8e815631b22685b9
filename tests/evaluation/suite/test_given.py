"""Defenses that are given in Python take the place of those of a scenario, registered or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.families import GramAggregator
from robustfl.aggregation.kernels.base import Array
from robustfl.defenses import NNM, GeometricMedian, Krum, Mean, TrimmedMean
from robustfl.errors import RobustflError
from robustfl.evaluation.suite.given import given_defense
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment


@dataclass(frozen=True, kw_only=True)
class Shrunk(CoordinateWise):
    """The median, made smaller."""

    factor: Annotated[float, Gt(0), Doc("what the median is multiplied by")]

    def columns(self, block: Array, ops: Any) -> Array:
        return self.factor * ops.median(block)


def test_classes_are_told_f_and_instances_are_as_they_are() -> None:
    assert given_defense(Krum).build(3) == Krum(f=3)
    assert given_defense(Mean).build(3) == Mean()
    whole = NNM(f=1) >> TrimmedMean(f=2)
    assert given_defense(whole).build(3) is whole
    assert [given_defense(rule).label for rule in (Krum, GeometricMedian(), whole)] == [
        "Krum",
        "GeometricMedian",
        "NNM > TrimmedMean(f=2)",
    ]
    assert given_defense(Shrunk(factor=0.5)).label == "Shrunk(factor=0.5)"


def test_a_rule_without_a_registered_name_is_planned_like_any_other() -> None:
    experiment = read_experiment("smoke", ("seeds=1",), defenses=[given_defense(Shrunk(factor=0.5))])
    plan = Plan(experiment)
    assert [template.classes for template in experiment.suite.defenses] == [(Shrunk,)]
    assert {cell.defense for cell in plan.cells} == {"Shrunk(factor=0.5)"}
    world, template = experiment.worlds[0], experiment.suite.defenses[0]
    assert plan.bound(world, template).startswith("its precondition holds up to f = 3 of 8")
    described = next(cell.trial for cell in plan.cells if cell.trial is not None).description
    assert described["defense"] == {"name": "shrunk", "factor": 0.5}
    assert experiment.hash != read_experiment("smoke", ("seeds=1",)).hash


def test_a_registered_rule_has_the_trials_of_its_name() -> None:
    by_name = read_experiment("smoke", ('defenses=["trimmed_mean"]',))
    by_class = read_experiment("smoke", defenses=[given_defense(TrimmedMean)])
    assert [trial.id for trial in Plan(by_class).trials] == [trial.id for trial in Plan(by_name).trials]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Shrunk, "Shrunk cannot be made from f alone. It needs factor: give an instance"),
        (GramAggregator, "It is abstract"),
        (NNM, "is not a complete defense"),
        (NNM(f=1), "is not a complete defense"),
        ("nnm", "is not a complete defense"),
        ("krumm", "no defense named 'krumm'"),
        (lambda rows: rows[0], "Trials are named after functions"),
        (7, "Found 7"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_no_rule_is_refused(rule: Any, message: str) -> None:
    with pytest.raises(RobustflError) as caught:
        given_defense(rule)
    assert message in str(caught.value)
