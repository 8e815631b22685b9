"""What an aggregator is as an object: state, copies, pickles, text, and what the base class catches from authors."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

import robustfl.defenses
from robustfl.aggregation import Aggregator, Gram, GramAggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.updates.source import largest_magnitude
from robustfl.defenses import NNM, Bucketing, CenteredClipping, GeometricMedian, Krum, Mean, MultiKrum
from robustfl.errors import InfeasibleError, RobustflError, StateError
from tests.aggregation.cases import RULES, Case, each_rule, gaussian, rules
from tests.aggregation.oracles import Matrix

STATEFUL = [case for case in RULES if case.make(1).stateful]
each_stateful = pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.name)


def rounds(case: Case, count: int) -> list[Matrix]:
    return [gaussian(number, max(case.least(1), 6), 3) for number in range(count)]


def same_state(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))


# ---------------------------------------------------------------------------------------------------- objects


@each_rule
def test_the_text_of_a_rule_is_code_that_makes_an_equal_one(case: Case) -> None:
    rule = case.make(2)
    twin = eval(repr(rule), dict(vars(robustfl.defenses)))
    assert twin == rule
    assert hash(twin) == hash(rule)
    assert type(rule)(**rule.parameters()) == rule
    assert str(rule)


@each_rule
def test_copies_and_pickles_are_equal_and_answer_alike(case: Case) -> None:
    rule = case.make(1)
    first, second = rounds(case, 2)
    rule(first)
    expected, state = rule.preview(second).value, rule.state_dict()
    for twin in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert twin == rule
        np.testing.assert_array_equal(twin(second), expected)
        twin.reset()
        assert same_state(rule.state_dict(), state), "a copy has a memory of its own"


@each_rule
def test_a_rule_is_frozen(case: Case) -> None:
    rule = case.make(1)
    for parameter in rule.declared_parameters():
        with pytest.raises(FrozenInstanceError):
            setattr(rule, parameter.name, getattr(rule, parameter.name))


def test_another_hyper_parameter_makes_a_fresh_rule() -> None:
    rule = CenteredClipping(radius=1.0)
    rule([[1.0], [2.0]])
    assert replace(rule, radius=2.0).state_dict() == {}


def test_every_single_defense_documents_itself() -> None:
    exported: dict[str, Any] = vars(robustfl.defenses)
    for name, value in exported.items():
        if isinstance(value, type):
            assert value.guarantee, name
            assert value.breakdown, name
            assert value.reference, name
            assert value.summary().endswith("."), name
            assert all(parameter.doc for parameter in value.declared_parameters()), name


# ------------------------------------------------------------------------------------------------------ state


def test_the_rules_with_a_memory_are_the_expected_ones() -> None:
    remembering = ("bucketing", "centered", "dnc", "fools", "merit", "momentum", "rffl", "signguard")
    assert {case.name for case in STATEFUL} == {
        case.name for case in RULES if any(word in case.name for word in remembering)
    }


@each_rule
def test_only_rules_with_a_memory_remember(case: Case) -> None:
    rule = case.make(1)
    fresh = rule.state_dict()
    rule(rounds(case, 1)[0])
    assert same_state(rule.state_dict(), fresh) != rule.stateful


@each_stateful
def test_a_rule_continues_from_its_state(case: Case) -> None:
    first, second, third = rounds(case, 3)
    rule, heir = case.make(1), case.make(1)
    rule(first)
    saved = rule.state_dict()
    heir.load_state_dict(pickle.loads(pickle.dumps(saved)))
    expected = [rule(second), rule(third)]
    np.testing.assert_array_equal([heir(second), heir(third)], expected)
    assert not same_state(saved, rule.state_dict()), "a saved state is a copy"


@each_stateful
def test_reset_forgets_and_preview_does_not_learn(case: Case) -> None:
    first, second, third = rounds(case, 3)
    rule = case.make(1)
    opening = rule(first)
    before = rule.state_dict()
    preview = rule.preview(second)
    rule.preview(third)
    assert same_state(rule.state_dict(), before)
    np.testing.assert_array_equal(rule(second), preview.value)
    rule.reset()
    np.testing.assert_array_equal(rule(first), opening)


@each_stateful
def test_a_failed_call_and_a_changed_copy_leave_the_state_alone(case: Case) -> None:
    rule = case.make(1)
    value = rule(rounds(case, 1)[0])
    before = rule.state_dict()
    with pytest.raises(InfeasibleError):
        rule(np.full((case.least(1) + 1, 3), np.nan))
    value += 1e6
    assert same_state(rule.state_dict(), before)


@each_rule
def test_a_state_of_something_else_is_refused(case: Case) -> None:
    rule = case.make(1)
    before = rule.state_dict()
    with pytest.raises(StateError, match="surprise"):
        rule.load_state_dict({"surprise": 1})
    assert same_state(rule.state_dict(), before)


def test_a_center_of_another_size_is_refused_until_reset() -> None:
    rule = CenteredClipping()
    rule([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(StateError, match=r"remembers a center of 2 values; the updates have 3\. Call reset\(\)"):
        rule([[1.0, 2.0, 3.0]])
    rule.reset()
    assert rule([[1.0, 2.0, 2.0]]).tolist() == [1.0, 2.0, 2.0]


def test_a_rejected_row_leaves_rule_and_memory_as_they_are() -> None:
    rule = NNM(f=1) >> CenteredClipping(radius=0.5)
    x = gaussian(0, 6, 2)
    x[5] = np.nan
    rule(x)
    assert rule.state_dict()["rule"]["center"].shape == (2,)
    assert rule.before.f == 1


# --------------------------------------------------------------------------------------------------- preconditions


@rules(told=False)
def test_rules_without_f_take_it_from_the_question(case: Case) -> None:
    rule = case.make(0)
    a = {"median": 2, "geometric median": 2, "mean": 0}.get(case.name)
    if a is not None:
        assert rule.infeasible(5, 2) is None
        assert (rule.infeasible(4, 2) is None) == (a == 0)


def test_a_pipeline_says_which_stage_lacks_rows() -> None:
    rule = Bucketing(size=3) >> Krum(f=1)
    with pytest.raises(InfeasibleError, match=r"Bucketing\(size=3\) makes 4 rows of 12\. Krum needs n >= 2f \+ 3"):
        rule(gaussian(0, 12, 2))
    assert rule.infeasible(13) is None


def test_multi_krum_cannot_select_more_rows_than_there_are() -> None:
    with pytest.raises(InfeasibleError, match=r"selects k=6 rows\. Found n=5, f=1\. Lower k"):
        MultiKrum(f=1, k=6)(gaussian(0, 5, 2))


@pytest.mark.parametrize("working", ["float32", "float64"])
def test_the_largest_accepted_rows_do_not_overflow(working: str) -> None:
    n, d = 5, 7
    x = np.full((n, d), largest_magnitude(working, n, d) * 0.999, dtype=working)
    x[:2] *= -1
    for case in RULES:
        if case.least(1) <= n:
            assert np.isfinite(case.make(1)(x)).all(), case.name


# --------------------------------------------------------------------------------- what authors may get wrong


@dataclass(frozen=True, kw_only=True)
class TwoWeights(GramAggregator):
    requires: ClassVar[tuple[int, int]] = (0, 1)

    def weights(self, gram: Gram) -> Floats:
        return np.ones(2)


@dataclass(frozen=True, kw_only=True)
class NoNumber(GramAggregator):
    requires: ClassVar[tuple[int, int]] = (0, 1)

    def weights(self, gram: Gram) -> Floats:
        return np.full(gram.n, np.nan)


@dataclass(frozen=True, kw_only=True)
class Infinite(Aggregator):
    requires: ClassVar[tuple[int, int]] = (0, 1)

    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(np.full(rows.d, np.inf))


@pytest.mark.parametrize("rule", [TwoWeights(), NoNumber()], ids=repr)
def test_weights_that_are_no_weights_are_an_error_with_the_name_of_the_rule(rule: Aggregator) -> None:
    with pytest.raises(RobustflError, match=rf"{type(rule).__name__}\(\) computed weights that are not 3 finite"):
        rule(gaussian(0, 3, 2))


def test_a_result_that_is_not_finite_is_an_error_with_the_name_of_the_rule() -> None:
    with pytest.raises(RobustflError, match=r"Infinite\(\) produced a value that is not finite from 3 finite rows"):
        Infinite()(gaussian(0, 3, 2))


def test_an_answer_tells_about_every_row() -> None:
    answer = Mean().aggregate({"ann": [1.0, 2.0], "bob": [np.inf, 0.0], "eve": None, "joe": [3.0, 4.0]})
    assert answer.value.tolist() == [2.0, 3.0]
    assert answer.weights is not None
    assert answer.weights.tolist() == [0.5, 0.0, 0.0, 0.5]
    assert answer.rejected.tolist() == [False, True, True, False]
    assert answer.info == {
        "ids": ("ann", "bob", "eve", "joe"),
        "reasons": {1: "not finite", 2: "missing"},
        "exceeded": 1,
    }
    assert GeometricMedian().aggregate([[1.0]]).info == {"ids": (0,), "reasons": {}, "exceeded": 0}
