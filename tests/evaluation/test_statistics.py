"""The intervals and tests behind the score, against hand-computed values and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from robustfl.errors import ParameterError
from robustfl.evaluation.statistics import (
    cross_fitted,
    detectable_drop,
    holm,
    mean_interval,
    minimum_interval,
    paired_test,
    seeds_needed,
    standard_error,
    student_interval,
    wilson_interval,
)

A = (0.62, 0.58, 0.60, 0.64, 0.56)
B = (0.60, 0.57, 0.59, 0.61, 0.55)
C = (0.50, 0.49, 0.47, 0.52, 0.46)
ATTACKS = ((0.5, 0.55, 0.6), (0.45, 0.65, 0.7))

samples = st.lists(st.floats(-10, 10), min_size=2, max_size=12)


def test_student_interval_of_the_worked_example() -> None:
    assert student_interval(A) == pytest.approx((0.6 - 0.03926486, 0.6 + 0.03926486), abs=1e-8)


@pytest.mark.parametrize(
    ("size", "confidence", "quantile"),
    [(3, 0.95, 4.30265273), (5, 0.95, 2.77644511), (10, 0.95, 2.26215716), (5, 0.9, 2.13184679), (10, 0.9, 1.83311293)],
)
def test_student_interval_uses_the_t_quantile(size: int, confidence: float, quantile: float) -> None:
    values = np.arange(size, dtype=float)
    interval = student_interval(values, confidence)
    assert interval is not None
    assert (interval[1] - interval[0]) / 2 == pytest.approx(quantile * values.std(ddof=1) / math.sqrt(size), abs=1e-7)


def test_one_value_has_no_interval_and_no_standard_error() -> None:
    assert student_interval([0.4]) is None
    with pytest.raises(ParameterError, match="at least 2 values"):
        standard_error([0.4])


def test_equal_values_have_no_spread_whatever_the_rounding() -> None:
    assert standard_error([0.1 + 0.2, 0.3, 0.3]) == 0.0


@given(samples, st.floats(-5, 5))
def test_student_interval_moves_with_its_values(values: list[float], shift: float) -> None:
    low, high = student_interval(values) or (math.nan, math.nan)
    moved = student_interval(np.add(values, shift)) or (math.nan, math.nan)
    assert low <= np.mean(values) + 1e-12
    assert high >= np.mean(values) - 1e-12
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-9)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [0.1, math.inf], [[0.1, 0.2]]])
def test_values_that_are_no_sample_are_refused(values: list[float]) -> None:
    with pytest.raises(ParameterError, match="`values` should be"):
        student_interval(values)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [(5, 100, (0.02154368, 0.11175047)), (0, 50, (0.0, 0.07134760)), (50, 50, (1 - 0.07134760, 1.0))],
)
def test_wilson_interval(successes: int, trials: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-8)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_agrees_with_scipy(case: tuple[int, int]) -> None:
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    reference = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(ParameterError, match="0 <= successes <= trials"):
        wilson_interval(successes, trials)


def test_with_one_row_the_interval_of_the_minimum_is_students() -> None:
    assert minimum_interval([A]) == pytest.approx(student_interval(A))
    assert minimum_interval([A], 0.8) == pytest.approx(student_interval(A, 0.8))


def test_with_a_clear_smallest_row_the_interval_is_that_of_this_row() -> None:
    above = np.add(A, 3.0)
    assert minimum_interval([above, A, above]) == pytest.approx(student_interval(A))


def test_rows_that_may_be_the_smallest_widen_the_upper_end() -> None:
    # By hand: both rows may be the smallest, so K = 2. Means .55 and .6, standard errors .05 / sqrt(3) and
    # sqrt(.0175) / sqrt(3); t of 2 degrees of freedom is 4.30265273 at .975 and 6.20534682 at .9875.
    low, high = minimum_interval(ATTACKS) or (math.nan, math.nan)
    assert low == pytest.approx(0.6 - 4.30265273 * math.sqrt(0.0175 / 3), abs=1e-8)
    assert high == pytest.approx(0.55 + 6.20534682 * 0.05 / math.sqrt(3), abs=1e-8)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_have_no_interval_of_a_minimum(seeds: int) -> None:
    assert minimum_interval(np.ones((4, seeds))) is None


@given(st.integers(1, 6), st.integers(3, 8), st.integers(0, 10_000))
def test_the_interval_holds_the_minimum_and_falls_with_every_further_row(rows: int, seeds: int, stream: int) -> None:
    table = np.random.default_rng(stream).normal(size=(rows, seeds))
    low, high = minimum_interval(table) or (math.nan, math.nan)
    assert low <= table.mean(axis=1).min() <= high
    further = np.vstack([table, np.random.default_rng(stream + 1).normal(size=(1, seeds))])
    assert (minimum_interval(further) or (math.nan,))[0] <= low + 1e-12
    shuffled = table[np.random.default_rng(stream).permutation(rows)]
    assert minimum_interval(shuffled) == pytest.approx((low, high))
    assert minimum_interval(table + 2) == pytest.approx((low + 2, high + 2))


def test_the_mean_of_one_quantity_has_its_own_interval() -> None:
    assert mean_interval([0.4], [(0.1, 0.5)]) == pytest.approx((0.1, 0.5))


def test_the_distances_to_the_ends_add_up_like_independent_errors() -> None:
    assert mean_interval([0.4, 0.6], [(0.1, 0.5), (0.2, 0.6)]) == pytest.approx((0.5 - 0.25, 0.5 + 0.05))
    same = mean_interval([0.5] * 4, [(0.3, 0.7)] * 4)
    assert same == pytest.approx((0.4, 0.6))
    assert mean_interval([0.5] * 4, [(0.3, 0.7)] * 4, [0.55] * 4) == pytest.approx((0.4, 0.65))
    assert mean_interval([0.5] * 4, [(0.3, 0.7)] * 4, [0.69] * 4) == pytest.approx((0.4, 0.7))


def test_every_quantity_needs_its_interval() -> None:
    with pytest.raises(ParameterError, match=r"one \[low, high\] and one value for each of 2"):
        mean_interval([0.1, 0.2], [(0.0, 1.0)])


def test_cross_fitting_evaluates_on_the_other_half() -> None:
    # On seeds 0 and 2 the first row looks worst (0 < 1), on seeds 1 and 3 the second (2 < 8).
    assert cross_fitted([[0, 8, 0, 9], [1, 2, 3, 2]]).tolist() == [1, 8, 3, 9]


def test_of_rows_at_the_floor_the_one_that_is_surest_to_be_there_is_read() -> None:
    # Both are at the floor on both halves, the first one below it by chance, and high on the half where it is read.
    noisy, steady, good = [-0.3, 0.1, 0.2, -0.2], [0.0, 0.0, -1e-17, 0.0], [0.4, 0.5, 0.4, 0.5]
    assert cross_fitted([noisy, steady, good], floor=0.0) == pytest.approx(steady)
    assert cross_fitted([steady, noisy, good], floor=0.0) == pytest.approx(steady)
    assert cross_fitted([noisy, steady, good]).tolist() == noisy
    # Of a single seed nobody knows how much it varies: the row that is lowest there.
    low, lower = [-0.01, 0.4, -0.02], [-0.2, -0.1, -0.3]
    assert cross_fitted([low, lower], floor=0.0) == pytest.approx([-0.1, 0.15, -0.2])


def test_below_the_floor_what_is_missing_is_added() -> None:
    assert cross_fitted([[-0.1] * 4, [0.5] * 4], floor=0.0) == pytest.approx([0.0] * 4)
    assert cross_fitted([[-0.1, -0.3, -0.1, -0.3]], floor=0.0) == pytest.approx([0.2, -0.2, 0.2, -0.2])
    assert cross_fitted([[-0.1, 0.3, -0.1, 0.3]], floor=0.0) == pytest.approx([-0.1, 0.4, -0.1, 0.4])


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 10_000))
def test_cross_fitting_never_falls_below_the_smallest_mean(rows: int, seeds: int, stream: int) -> None:
    table = np.random.default_rng(stream).normal(size=(rows, seeds))
    assert cross_fitted(table).mean() >= table.mean(axis=1).min() - 1e-12
    found, plain = cross_fitted(table, floor=0.0), table.mean(axis=1)
    for half in (0, 1):
        assert found[half::2].mean() >= table[:, half::2].mean(axis=1).min() - 1e-12
    if (plain > 0).all() and (table[:, ::2].mean(axis=1) > 0).all() and (table[:, 1::2].mean(axis=1) > 0).all():
        assert found.tolist() == cross_fitted(table).tolist()


def test_at_a_floor_the_mean_of_many_suites_is_at_least_the_floor() -> None:
    rng = np.random.default_rng(0)
    for mean in (-0.3, -0.05, 0.0):
        found = [cross_fitted(mean + 0.1 * rng.normal(size=(3, 6)), floor=0.0).mean() for _ in range(400)]
        assert np.mean(found) >= -0.003
    assert np.mean([cross_fitted(-0.05 + 0.1 * rng.normal(size=(3, 6))).mean() for _ in range(400)]) < -0.03


@pytest.mark.parametrize("table", [[], [[]], [1.0, 2.0, 3.0], [[1.0, math.nan, 2.0]]])
def test_what_is_no_table_of_attacks_and_seeds_is_refused(table: list[list[float]]) -> None:
    for function in (minimum_interval, cross_fitted):
        with pytest.raises(ParameterError, match="one row per attack"):
            function(table)


def test_one_seed_cannot_be_halved() -> None:
    with pytest.raises(ParameterError, match="at least 2 seeds"):
        cross_fitted([[1.0]])


@pytest.mark.parametrize(
    ("first", "second", "mean", "p"),
    [(A, B, 0.016, 0.01613009), (A, C, 0.112, 1.08070e-4), (B, C, 0.096, 1.446329e-4)],
)
def test_paired_test_of_the_worked_example(
    first: tuple[float, ...], second: tuple[float, ...], mean: float, p: float
) -> None:
    found_mean, found_p = paired_test(first, second)
    assert found_mean == pytest.approx(mean)
    assert found_p == pytest.approx(p, rel=1e-5)


def test_pairing_finds_what_an_unpaired_test_misses() -> None:
    assert stats.ttest_ind(A, B, equal_var=False).pvalue == pytest.approx(0.39616, abs=1e-5)
    assert paired_test(A, B)[1] < 0.05
    assert student_interval(np.subtract(A, B)) == pytest.approx((0.00489422, 0.02710578), abs=1e-8)


def test_spread_and_t_of_the_worked_example() -> None:
    differences = np.subtract(A, B)
    assert standard_error(differences) * math.sqrt(5) == pytest.approx(0.00894427, abs=1e-8)
    assert differences.mean() / standard_error(differences) == pytest.approx(4.0)


def test_two_sided_view_of_an_improvement() -> None:
    differences = (0.03, 0.01, 0.02, 0.04, 0.0)
    assert paired_test(differences, (0.0,) * 5) == pytest.approx((0.02, 0.04742066), abs=1e-8)
    assert student_interval(differences) == pytest.approx((0.00036757, 0.03963243), abs=1e-8)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ((0.5, 0.6), (0.4, 0.5), 0.0),  # 0.1 and 0.09999999999999998: equal up to rounding
        ((0.5, 0.6), (0.5, 0.6), 1.0),
        ((0.1 + 0.2, 0.7), (0.3, 0.7), 1.0),
    ],
)
def test_equal_differences_have_no_t_statistic(first: tuple[float, ...], second: tuple[float, ...], p: float) -> None:
    assert paired_test(first, second)[1] == p


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=10))
@example([(0.0, 0.0), (0.0, 0.0), (0.0, 4.8e-156)])  # the square of its square is no float
def test_paired_test_is_antisymmetric_and_agrees_with_scipy(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    mean, p = paired_test(first, second)
    other_mean, other_p = paired_test(second, first)
    assert mean == pytest.approx(-other_mean)
    assert p == pytest.approx(other_p)
    if np.subtract(first, second).std() > 1e-6:
        assert p == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [((1.0,), (2.0,)), ((1.0, 2.0), (1.0, 2.0, 3.0))])
def test_paired_test_refuses_what_is_not_paired(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="same seeds"):
        paired_test(first, second)


def test_holm_steps_down() -> None:
    assert holm([0.01613009, 1.08070e-4, 1.44635e-4]) == [True, True, True]
    # 0.03 passes its own threshold (0.05) but stands behind 0.026, which misses 0.025.
    assert holm([0.03, 0.01, 0.026]) == [False, True, False]
    assert holm([]) == []


def test_holm_compares_three_with_a_third_a_half_and_the_whole_of_alpha() -> None:
    assert holm([0.016666, 0.024999, 0.05]) == [True, True, True]
    assert holm([0.016667, 0.024999, 0.05]) == [False, False, False]
    assert holm([0.016666, 0.025001, 0.05]) == [True, False, False]
    assert holm([0.016666, 0.024999, 0.050001]) == [True, True, False]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_holm_lies_between_bonferroni_and_no_correction(p_values: list[float]) -> None:
    for p, significant in zip(p_values, holm(p_values), strict=True):
        assert significant or p > 0.05 / len(p_values)
        assert not significant or p <= 0.05


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1])
def test_holm_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ParameterError, match="0 <= p <= 1"):
        holm([0.5, p])


@pytest.mark.parametrize(("seeds", "drop"), [(3, 2.298), (5, 1.374), (10, 0.859), (20, 0.579)])
def test_detectable_drop(seeds: int, drop: float) -> None:
    assert detectable_drop(seeds) == pytest.approx(drop, abs=5e-4)


@given(st.floats(0.02, 5), st.floats(0.1, 2))
def test_seeds_needed_are_just_enough(drop: float, spread: float) -> None:
    seeds = seeds_needed(drop, spread)
    assert seeds is not None
    assert detectable_drop(seeds) * spread <= drop * (1 + 1e-12)
    assert seeds == 2 or detectable_drop(seeds - 1) * spread > drop * (1 - 1e-12)


def test_seeds_needed_at_the_ends() -> None:
    assert seeds_needed(0.1, 0.0) == 2
    assert seeds_needed(1e-9, 1.0) is None
    with pytest.raises(ParameterError, match="drop > 0"):
        seeds_needed(0.0, 1.0)
    with pytest.raises(ParameterError, match="seeds >= 2"):
        detectable_drop(1)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_the_stratified_test_of_two_strata_is_welchs_test_of_one_against_the_negated_other(
    first: list[float], second: list[float]
) -> None:
    assume(np.std(first) > 1e-3)
    assume(np.std(second) > 1e-3)
    values = [*first, *second]
    mean, p = paired_test(values, np.zeros(len(values)), [1] * len(first) + [0] * len(second))
    assert mean == pytest.approx((np.mean(first) + np.mean(second)) / 2)
    assert p == pytest.approx(stats.ttest_ind(first, np.negative(second), equal_var=False).pvalue, abs=1e-12)


def test_a_stratum_of_one_seed_has_no_noise_to_judge_by() -> None:
    with pytest.raises(ParameterError, match=r"each stratum.*strata of \[2, 1\]"):
        paired_test((1.0, 2.0, 3.0), (0.0, 0.0, 0.0), (0, 0, 1))


def test_strata_of_equal_differences_need_no_test() -> None:
    assert paired_test((0.2, 0.2, 0.4, 0.4), (0.1, 0.1, 0.1, 0.1), (0, 0, 1, 1)) == (pytest.approx(0.2), 0.0)
    assert paired_test((0.2, 0.2, 0.0, 0.0), (0.1, 0.1, 0.1, 0.1), (0, 0, 1, 1))[1] == 1.0
