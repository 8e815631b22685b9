"""How far one row can move an answer: values, formulas, and the rules of asking."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest

from robustfl.aggregation.sensitivity import RELATIONS
from robustfl.defenses import NNM, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.privacy.releases import Relation


def test_the_relations_are_those_of_the_accountant() -> None:
    assert get_args(Relation) == RELATIONS


@pytest.mark.parametrize(
    ("n", "clip", "relation", "named"),
    [
        (0, 1.0, "replace_one", "n=0"),
        (2.5, 1.0, "replace_one", "n=2.5"),
        (True, 1.0, "replace_one", "n=True"),
        (5, 0.0, "replace_one", "clip=0.0"),
        (5, -1.0, "replace_one", "clip=-1.0"),
        (5, math.nan, "replace_one", "clip=nan"),
        (5, 1.0, "zero_out", "relation='zero_out'"),
    ],
)
def test_a_question_without_sense_is_an_error_that_names_it(n: Any, clip: float, relation: Any, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        Mean().sensitivity(n, clip, relation=relation)


def test_the_relation_halves_what_only_uses_how_far_the_row_moves() -> None:
    assert Mean().sensitivity(10, 3.0) == pytest.approx(0.6)
    assert Mean().sensitivity(10, 3.0, relation="add_or_remove") == pytest.approx(0.3)
    mixed = NNM(f=2) >> Mean()
    assert mixed.sensitivity(10, 3.0) == mixed.sensitivity(10, 3.0, relation="add_or_remove")


def test_a_rule_without_a_bound_says_why() -> None:
    found = Median().sensitivity_bound(11, 1.0)
    assert found.value is None
    assert "tie-breaker" in found.reason


def test_too_few_rows_and_too_large_bounds_are_told_apart() -> None:
    assert "needs n >= 2f + 1" in TrimmedMean(f=3).sensitivity_bound(5, 1.0).reason
    assert "not below 2 clip" in TrimmedMean(f=2).sensitivity_bound(5, 1.0).reason
