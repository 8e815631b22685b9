"""How far one row can move an answer: values, formulas, what they take for granted, and the rules of asking."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator, Defense, PreAggregation
from robustfl.aggregation.client_side import ClientSide
from robustfl.aggregation.sensitivity import RELATIONS, Change, Sensitivity, Term
from robustfl.defenses import (
    ARC,
    CGE,
    NNM,
    Bucketing,
    CenteredClipping,
    ClientMomentum,
    Clipping,
    Krum,
    Mean,
    Median,
    MoNNA,
    NormBound,
    ServerAlone,
    SignMajority,
    TrimmedMean,
)
from robustfl.errors import ParameterError
from robustfl.privacy.releases import Relation

N, F, CLIP = 11, 2, 1.0
KNOWN: list[tuple[Aggregator, float, float]] = [
    (Mean(), 2 / 11, 1 / 11),
    (NormBound(radius=9.0), 2 / 11, 1 / 11),
    (NormBound(radius=0.5), 1 / 11, 0.5 / 11),
    (NormBound(radius=0.5, noise=0.1), 1 / 11, 0.5 / 11),
    (TrimmedMean(f=2), 2 / 7, 1 / 7),
    (CenteredClipping(radius=0.3), 0.6 / 11, 0.6 / 11),
    (CenteredClipping(radius=0.3, iterations=3), 1.8 / 11, 1.8 / 11),
    (CenteredClipping(radius=0.3, iterations=10), 6 / 11, 6 / 11),
    (CenteredClipping(radius=0.8), 1.6 / 11, 1 / 11),
    (CenteredClipping(radius=3.0), 2 / 11, 1 / 11),
    (CGE(f=2), 2 / 9, 1 / 9),
    (MoNNA(f=2), 2 / 9, 2 / 9),
    (NNM(f=2) >> Mean(), 2 * (10 / 99 + 1 / 11), 2 * (10 / 99 + 1 / 11)),
    (NNM(f=2) >> TrimmedMean(f=2), (20 / 9 + 2) / 7, (20 / 9 + 2) / 7),
    (Bucketing(size=2) >> Mean(), 2 / 6, 1 / 6),
    (Bucketing(size=2) >> TrimmedMean(f=1), 2 / 4, 1 / 4),
    (Clipping(radius=0.5) >> TrimmedMean(f=2), 1 / 7, 0.5 / 7),
    (Clipping(radius=0.5) >> NNM(f=2) >> Mean(), 10 / 99 + 1 / 11, 10 / 99 + 1 / 11),
    (ARC(f=2) >> Mean(), 4 / 11, 4 / 11),
    (ARC(f=2) >> TrimmedMean(f=2), 4 / 7, 4 / 7),
    (ARC(f=0) >> Mean(), 2 / 11, 1 / 11),
    (ServerAlone(), 0.0, 0.0),
]


@pytest.mark.parametrize(("rule", "replaced", "absent"), KNOWN, ids=lambda value: str(value))
def test_known_bounds(rule: Aggregator, replaced: float, absent: float) -> None:
    assert rule.sensitivity(N, CLIP) == pytest.approx(replaced)
    assert rule.sensitivity(N, CLIP, relation="add_or_remove") == pytest.approx(absent)


def test_buckets_that_divide_the_rows_evenly_cost_the_mean_nothing() -> None:
    assert (Bucketing(size=3) >> Mean()).sensitivity(12, 1.0) == Mean().sensitivity(12, 1.0)
    assert (Bucketing(size=3) >> TrimmedMean(f=1)).sensitivity(12, 1.0) == pytest.approx(2 / (12 - 2 * 1 * 3))


def evaluated(formula: str, **values: float) -> float:
    """A formula as a number: a space or a bracket between two factors is a product, and `mod` a remainder."""
    text = formula.replace(" mod ", "%")
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", text)
    text = re.sub(r"(\d)(?=[a-z(])", r"\1*", text)
    text = re.sub(r"\bf\(", "f*(", text)
    return float(
        eval(text, {"__builtins__": {}, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil}, values)
    )


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(("rule", "_replaced", "_absent"), KNOWN, ids=lambda value: str(value))
def test_the_formula_gives_the_value(rule: Aggregator, _replaced: float, _absent: float, relation: Relation) -> None:
    found = rule.sensitivity_bound(N, 0.25, relation=relation)
    given: dict[str, Any] = {"n": N, "clip": 0.25}
    for stage in rule.stages:
        given |= stage.parameters()
    if isinstance(rule.stages[0], Bucketing):
        given["f"] = 1
    assert evaluated(found.formula, **given) == pytest.approx(found.value)


def test_rules_that_bound_rows_themselves_need_no_clip() -> None:
    assert NormBound(radius=2.0).sensitivity(10, math.inf) == pytest.approx(0.4)
    assert CenteredClipping(radius=2.0).sensitivity(10, math.inf) == pytest.approx(0.4)
    assert (Clipping(radius=2.0) >> Mean()).sensitivity(10, math.inf) == pytest.approx(0.4)
    assert Mean().sensitivity(10, math.inf) is None
    assert (NNM(f=0) >> Mean()).sensitivity(1, math.inf) is None


def test_a_radius_makes_the_bound_other_than_proportional_to_the_clip() -> None:
    rule = NormBound(radius=1.0)
    assert [rule.sensitivity(10, clip) for clip in (0.5, 1.0, 2.0)] == pytest.approx([0.1, 0.2, 0.2])


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


def test_the_relations_are_those_of_the_accountant() -> None:
    assert get_args(Relation) == RELATIONS


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Median(), "median: two clusters of n/2, and the replaced row is the tie-breaker"),
        (NNM(f=2) >> Krum(f=2), "krum: two clusters"),
        (NNM(f=2) >> NNM(f=2) >> Mean(), "nnm: nearest neighbours of rows that have all moved"),
        (NNM(f=2) >> ARC(f=2) >> Mean(), "arc: the radius is data"),
        (ClientMomentum() >> Mean(), "client_momentum: its state carries rows of earlier rounds"),
        (Clipping() >> Mean(), "clipping: the radius is data"),
        (CenteredClipping(), "centered_clipping: the radius is data"),
        (SignMajority(), "sign_majority: one vote turns the sign"),
        (NNM(f=2) >> CGE(f=2), "11 (2 clip)/(n - f) is not below 2 clip for n=11 and clip=1"),
        (TrimmedMean(f=5), "2 clip/(n - 2f) is not below 2 clip for n=11 and clip=1"),  # that is the median
        (TrimmedMean(f=6), "TrimmedMean needs n >= 2f + 1 rows. Found n=11, f=6."),
        (Bucketing(size=4) >> TrimmedMean(f=2), "Bucketing(size=4) makes 3 rows of 11"),
    ],
    ids=lambda value: str(value),
)
def test_where_there_is_no_bound_the_reason_is_told(rule: Aggregator, reason: str) -> None:
    found = rule.sensitivity_bound(N, CLIP)
    assert found.reason.startswith(reason)
    assert found == Sensitivity(value=None, reason=found.reason)
    assert rule.sensitivity(N, CLIP) is None


def test_every_registered_defense_has_a_bound_or_a_reason_of_its_own() -> None:
    bounded = {str(rule.stages[-1].name) for rule, *_ in KNOWN} | {"nnm", "arc", "bucketing", "consistency_check"}
    for name, cls in registry.find("defense").items():
        if issubclass(cls, Aggregator | PreAggregation) and not issubclass(cls, ClientSide):
            assert name in bounded or cls.no_sensitivity != Defense.no_sensitivity, name


def test_what_has_to_be_public_is_told_with_the_value() -> None:
    assert Mean().sensitivity_bound(N, CLIP).public == ()
    (center,) = (NNM(f=2) >> CenteredClipping(radius=0.1)).sensitivity_bound(N, CLIP).public
    assert "last release" in center
    (trusted,) = MoNNA(f=2).sensitivity_bound(N, CLIP).public
    assert "trusted update" in trusted


def test_votes_before_the_sign() -> None:
    d = 7
    up, down = np.ones(d), -np.ones(d)
    assert np.linalg.norm(up - down) == SignMajority.vote_sensitivity(d)
    assert np.linalg.norm(up) == SignMajority.vote_sensitivity(d, relation="add_or_remove")
    with pytest.raises(ParameterError, match="d=-1"):
        SignMajority.vote_sensitivity(-1)


def test_the_center_is_public_only_if_the_rule_learns_what_was_released() -> None:
    rows = np.random.default_rng(0).normal(size=(N, 3)) * 5
    other = np.vstack([-rows[0], rows[1:]])
    release = np.array([0.1, 0.2, 0.3])
    bound = CenteredClipping(radius=0.3).sensitivity(N, math.inf)
    assert bound is not None
    apart = {}
    for told in (True, False):
        answers = []
        for updates in (rows, other):
            rule: Aggregator = Clipping(radius=9.0) >> CenteredClipping(radius=0.3)
            for _ in range(3):
                answer = rule(updates)
                if told:
                    rule.released(release)
            answers.append(answer)
        apart[told] = float(np.linalg.norm(answers[0] - answers[1]))
    assert apart[True] <= bound * (1 + 1e-9)
    assert apart[False] > 2 * bound, "each round adds the difference of the rounds before it"


def test_a_center_that_was_released_is_a_copy_and_passes_through_pipelines() -> None:
    release = np.array([1.0, 2.0])
    rule = Clipping(radius=1.0) >> CenteredClipping(radius=0.5)
    rule.released(release)
    release[:] = np.nan
    assert rule.state_dict()["rule"]["center"].tolist() == [1.0, 2.0]
    Mean().released(release)  # a rule without memory need not know
    assert Mean().state_dict() == {}


def test_refused_rows_make_the_bound_too_small_and_rows_of_zeros_do_not() -> None:
    """With rows refused, the mean is over fewer rows; whoever clips puts zeros in their place."""
    rows, other = np.zeros((N, 2)), np.zeros((N, 2))
    rows[0, 0], other[0, 0] = CLIP, -CLIP
    bound = Mean().sensitivity(N, CLIP)
    assert bound is not None
    apart = {}
    for missing in (np.nan, 0.0):
        for matrix in (rows, other):
            matrix[5:] = missing
        apart[missing] = float(np.linalg.norm(Mean()(rows) - Mean()(other)))
    assert apart[np.nan] == pytest.approx(2 * CLIP / 5)
    assert apart[np.nan] > 2 * bound
    assert apart[0.0] == pytest.approx(bound)


def test_many_rows_that_have_changed_are_counted_together() -> None:
    change = Change(rows=Term(4, "n"), length=Term(1.0, "clip"), changed=4, moved=Term(5.0, "five"))
    assert change.capped(0.25).moved == Term(2.0, "4 (2 min(clip, radius))")
    assert change.capped(3.0).moved == Term(5.0, "five")
    assert Mean().moved(change) == Term(1.25, "five/n")


def test_another_client_in_the_place_of_one_moves_buckets_further_than_another_row() -> None:
    """So the bound of bucketing is none for cohorts that are drawn; `robustfl.privacy` calls that NAMES_DECIDE."""
    rng = np.random.default_rng(0)
    rule = Bucketing(size=2) >> TrimmedMean(f=1)
    bound = rule.sensitivity(10, CLIP)
    assert bound is not None
    found = []
    for _ in range(60):
        rows = rng.normal(size=(11, 2))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        gone = int(rng.integers(10))
        cohorts = [list(range(10)), [client for client in range(11) if client != gone]]
        answers = []
        for cohort in cohorts:
            rule.reset()
            answers.append(rule(rows[cohort], ids=cohort))
        found.append(float(np.linalg.norm(answers[0] - answers[1])))
    assert max(found) > 1.2 * bound
    assert "names" in rule.unclaimed
