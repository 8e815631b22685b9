"""How well scores tell members from others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.privacy.rates import Estimate, area, false_positives, pooled_rate, true_positive_rate

SCORES = st.lists(
    st.tuples(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 1e38, np.inf]), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({inside for _, inside in rows}) == 2)


@given(SCORES, st.floats(0, 1))
@settings(deadline=None)
def test_rates_are_those_of_all_thresholds_and_all_pairs(rows: list[tuple[float, bool]], fpr: float) -> None:
    scores, inside = np.array([score for score, _ in rows]), np.array([member for _, member in rows])
    allowed = false_positives(int((~inside).sum()), fpr)
    best = 0.0
    for limit in (-np.inf, *scores):
        above = scores > limit
        if (above & ~inside).sum() <= allowed:
            best = max(best, float(above[inside].mean()))
    if allowed == (~inside).sum():
        best = 1.0  # everybody may be accused
    assert true_positive_rate(scores, inside, fpr=fpr) == best
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[inside] for b in scores[~inside]]
    assert area(scores, inside) == pytest.approx(np.mean(pairs))


def test_rates_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.4, 0.75, 0.5, 0.3, 0.2, 0.1])
    inside = np.arange(9) < 4
    assert area(scores, inside) == pytest.approx(0.85)
    assert true_positive_rate(scores, inside, fpr=0.0) == 0.5
    assert true_positive_rate(scores, inside, fpr=0.2) == 0.75


def test_equal_scores_never_accuse() -> None:
    inside = np.arange(200) < 100
    assert true_positive_rate(np.zeros(200), inside, fpr=0.5) == 0.0
    assert area(np.zeros(200), inside) == 0.5


@pytest.mark.parametrize(
    ("others", "fpr", "allowed"), [(674, 0.01, 6), (100, 0.29, 29), (100, 0.07, 7), (450, 0.001, 0), (3, 1.0, 3)]
)
def test_the_false_positives_that_a_rate_allows(others: int, fpr: float, allowed: int) -> None:
    """0.29 times 100 is a little less than 29 in binary numbers."""
    assert false_positives(others, fpr) == allowed


def test_scores_without_signal_find_as_many_members_as_others() -> None:
    rng = np.random.default_rng(0)
    targets = [(rng.standard_t(2, 1347), rng.random(1347) < 0.5) for _ in range(60)]
    for fpr in (0.01, 0.05):
        rate = Estimate.over([true_positive_rate(scores, inside, fpr=fpr) for scores, inside in targets])
        assert rate.error is not None
        assert abs(rate.mean - fpr) < 4 * rate.error
    whole = Estimate.over([area(scores, inside) for scores, inside in targets])
    assert whole.error is not None
    assert abs(whole.mean - 0.5) < 4 * whole.error
    pooled = pooled_rate(*zip(*targets, strict=True), fpr=0.001)
    assert pooled is not None
    assert pooled.error is not None
    assert abs(pooled.mean - 0.001) < 4 * pooled.error


def test_errors_are_over_targets() -> None:
    assert Estimate.over([0.1, 0.3]) == Estimate(0.2, pytest.approx(0.1))
    assert Estimate.over([0.1]) == Estimate(0.1, None)
    for wrong in ([], [np.nan], [0.1, np.inf]):
        with pytest.raises(ParameterError, match="one per target"):
            Estimate.over(wrong)


def test_a_small_rate_is_pooled_only_where_it_allows_ten_false_positives() -> None:
    rng = np.random.default_rng(1)
    scores = [rng.standard_normal(1000) for _ in range(11)]
    inside = [np.arange(1000) < 500] * 11
    assert pooled_rate(scores[:10], inside[:10], fpr=0.001) is None
    assert pooled_rate(scores[:2], inside[:2], fpr=0.01) is not None
    shifted = [np.where(who, values + 3, values) for values, who in zip(scores, inside, strict=True)]
    rate = pooled_rate(shifted, inside, fpr=0.002)
    assert rate is not None
    assert 0.3 < rate.mean < 0.7  # Φ(3 − 2.88)
    assert rate.error is not None
    assert 0 < rate.error < 0.1


def test_the_pooled_error_is_that_of_leaving_out_one_target() -> None:
    """Without any choice of a threshold (everybody is accused above it), the jackknife is the usual error of a mean."""
    inside = [np.repeat([True, False], [50, 50])] * 4
    counts = [5, 10, 20, 25]
    scores = [np.concatenate([np.arange(50) < count, np.full(50, -1)]).astype(float) - 0.5 for count in counts]
    rate = pooled_rate([values * 2 for values in scores], inside, fpr=0.1)
    assert rate is not None
    assert rate == Estimate(1.0, 0.0)  # all members are above the others
    halves = [np.where(values > 0, 1.0, -2.0) for values in scores]
    rate = pooled_rate(halves, inside, fpr=0.1)
    assert rate is not None
    shares = np.array(counts) / 50
    assert rate.mean == pytest.approx(shares.mean())
    assert rate.error == pytest.approx(shares.std(ddof=1) / 2)


@pytest.mark.parametrize(
    ("scores", "inside", "match"),
    [
        ([1.0, np.nan], [True, False], "NaN 1 times"),
        ([1.0, 2.0], [True, True], "2 members among 2"),
        ([1.0, 2.0], [False, False], "0 members among 2"),
        ([], [], "one truth value"),
        ([1.0, 2.0], [1, 0], "one truth value"),
        ([[1.0, 2.0]], [[True, False]], "one number"),
        ([1.0, 2.0, 3.0], [True, False], "one truth value"),
    ],
)
def test_nonsense_is_refused(scores: list[float], inside: list[bool], match: str) -> None:
    for measure in (area, lambda a, b: true_positive_rate(a, b, fpr=0.1)):
        with pytest.raises(ParameterError, match=match):
            measure(np.array(scores), np.array(inside))


def test_rates_lie_between_0_and_1_and_there_is_a_target() -> None:
    with pytest.raises(ParameterError, match="should satisfy 0 <= fpr"):
        true_positive_rate([1.0, 2.0], np.array([True, False]), fpr=1.5)
    with pytest.raises(ParameterError, match="at least one target"):
        pooled_rate([], [], fpr=0.1)
