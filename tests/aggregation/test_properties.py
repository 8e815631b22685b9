"""What every rule of the table promises, whatever its formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import robustfl.defenses
from robustfl.aggregation import Aggregator, PreAggregation
from robustfl.errors import InfeasibleError
from tests.aggregation.cases import RULES, Case, each_rule, gaussian, rules
from tests.aggregation.oracles import Matrix, krum_scores, nnm

walk = settings(deadline=None, max_examples=12)
seeds = st.integers(0, 2**32)


def rows(case: Case, seed: int, f: int = 2, d: int = 4, more: int = 2) -> Matrix:
    return gaussian(seed, max(case.least(f), 3) + more, d)


def settled_rows(case: Case, seed: int) -> Matrix:
    """Rows among which no tie decides: NNM can make groups of equal rows, and Krum prefers none of two equal groups."""
    x = rows(case, seed)
    if case.name.endswith("nnm, krum"):
        mixed = nnm(x, 2)
        scores = krum_scores(mixed, len(x) - 4)
        assume(np.ptp(mixed[np.isclose(scores, min(scores), rtol=1e-9)], axis=0).max() < 1e-9)
    return x


def close(actual: Matrix, expected: Matrix, case: Case, unit: float = 1.0) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=20 * case.tolerance * unit)


def test_no_registered_defense_is_missing_from_the_table() -> None:
    registered = {
        value
        for value in vars(robustfl.defenses).values()
        if isinstance(value, type) and issubclass(value, Aggregator | PreAggregation)
    }
    covered = {kind for case in RULES for part in case.make(1).stages for kind in type(part).__mro__}
    assert registered, "the walk found no defense at all"
    assert registered - covered == set()


@rules(permutation=True)
@walk
@example(seed=1187)  # a tie
@given(seed=seeds)
def test_the_order_of_the_rows_does_not_matter(case: Case, seed: int) -> None:
    x = settled_rows(case, seed)
    order = np.random.default_rng(seed + 1).permutation(len(x))
    answer, shuffled = case.make(2).aggregate(x), case.make(2).aggregate(x[order])
    close(shuffled.value, answer.value, case)
    if answer.weights is not None:
        assert shuffled.weights is not None
        np.testing.assert_allclose(shuffled.weights, answer.weights[order], atol=20 * case.tolerance)


@rules(translation=True)
@walk
@given(seed=seeds, shift=st.sampled_from([-7.0, 1e3, 1e6]))
def test_moving_the_rows_moves_the_result(case: Case, seed: int, shift: float) -> None:
    x = settled_rows(case, seed)
    by = shift * np.random.default_rng(seed + 1).normal(size=x.shape[1])
    close(case.make(2)(x + by) - by, case.make(2)(x), case, unit=max(1.0, abs(shift) * 1e-3))


@rules(scaling=True)
@walk
@given(seed=seeds, power=st.integers(-12, 12))
def test_scaling_the_rows_scales_the_result(case: Case, seed: int, power: int) -> None:
    x = settled_rows(case, seed)
    close(case.make(2)(x * 10.0**power), case.make(2)(x) * 10.0**power, case, unit=10.0**power)


@rules(rotation=True)
@walk
@given(seed=seeds)
def test_rotating_the_rows_rotates_the_result(case: Case, seed: int) -> None:
    x = settled_rows(case, seed)
    turn = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))[0]
    close(case.make(2)(x @ turn), case.make(2)(x) @ turn, case)


@rules(box=True)
@walk
@given(seed=seeds, decimals=st.integers(0, 2))
def test_the_result_lies_between_the_rows_even_with_ties(case: Case, seed: int, decimals: int) -> None:
    x = rows(case, seed).round(decimals)
    value, slack = case.make(2)(x), 20 * case.tolerance
    assert (value >= x.min(axis=0) - slack).all()
    assert (value <= x.max(axis=0) + slack).all()


@rules(box=True)
@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1e-3, -2.0, 3e6], [-1.0, 1e-30, 1e15]])
def test_equal_rows_are_their_own_aggregate(case: Case, row: list[float]) -> None:
    for n in (case.least(2), case.least(2) + 3):
        np.testing.assert_allclose(case.make(2)(np.tile(row, (n, 1))), row, rtol=1e-12)


@rules(box=False, consensus=True)
def test_equal_rows_keep_their_direction_under_rules_that_shrink(case: Case) -> None:
    value = case.make(2)(np.tile([0.3, -0.4], (case.least(2), 1)))
    np.testing.assert_allclose(value, [0.3, -0.4], rtol=1e-12)


@rules(consensus=True)
@pytest.mark.parametrize("size", [1e-40, 1e-310])
def test_subnormal_rows_give_a_finite_result_of_their_size(case: Case, size: float) -> None:
    x = (rows(case, 3) * size).astype(np.float32 if size > 1e-300 else np.float64)
    assert np.abs(case.make(2)(x)).max() <= np.abs(x).max() * (1 + 1e-3)


@rules(consensus=True, stretching=False)
def test_duplicates_of_honest_rows_do_no_harm(case: Case) -> None:
    x = rows(case, 4)
    x[1] = x[2] = x[0]
    x[-1] = x[-2]
    value = case.make(2)(x)
    assert np.isfinite(value).all()
    assert np.linalg.norm(value) <= np.linalg.norm(x, axis=1).max()


@each_rule
def test_one_row_is_enough_exactly_where_the_bound_says_so(case: Case) -> None:
    x = np.array([[0.1, -0.2, 0.3]])
    if case.least(0) == 1:
        value = case.make(0)(x)
        assert (np.sign(value) == np.sign(x[0])).all()
        if case.consensus:
            np.testing.assert_allclose(value, x[0], rtol=1e-12)
    else:
        with pytest.raises(InfeasibleError, match="n=1, f=0"):
            case.make(0)(x)


@each_rule
@pytest.mark.parametrize("f", [0, 1, 3])
def test_the_bound_on_n_is_sharp(case: Case, f: int) -> None:
    least = case.least(f)
    assert np.isfinite(case.make(f)(gaussian(6, least, 3))).all()
    assert case.make(f).infeasible(least) is None
    if least > 1:
        told = f"f={f}" if case.told else "f=0"
        remedy = "Lower f, use" if case.told and f else "Use"
        with pytest.raises(InfeasibleError, match=rf"needs n >= .*{told}.*\. {remedy} ") as caught:
            case.make(f)(gaussian(6, least - 1, 3))
        assert f"{least - 1}" in str(caught.value)


@each_rule
def test_the_bound_on_n_can_be_asked_for_without_data(case: Case) -> None:
    rule = case.make(2)
    assert rule.byzantine == (2 if case.told else None)
    assert rule.infeasible(case.least(2)) is None
    assert "n=0" in (rule.infeasible(0) or "")


@each_rule
def test_a_rule_answers_the_same_question_the_same_way(case: Case) -> None:
    x = rows(case, 7)
    np.testing.assert_array_equal(case.make(2)(x), case.make(2)(x.copy()))
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    np.testing.assert_allclose(case.make(2)(strided), case.make(2)(x), rtol=0, atol=1e-12)


@each_rule
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_input_is_unmutated_and_its_type_is_kept(case: Case, dtype: str) -> None:
    x = rows(case, 8).astype(dtype)
    x.flags.writeable = False
    before = x.copy()
    value = case.make(2)(x)
    assert (value.dtype, value.shape) == (np.dtype(dtype), (4,))
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(value, x)


@each_rule
def test_weights_say_what_the_rule_did(case: Case) -> None:
    x = rows(case, 9)
    answer = case.make(2).aggregate(x)
    if answer.weights is None:
        assert not case.rotation, "a rule that is equivariant under rotations is a weighted sum of rows"
    else:
        assert answer.weights.shape == (len(x),)
        np.testing.assert_allclose(answer.weights @ x, answer.value, rtol=0, atol=1e-9)
        assert case.signed or (answer.weights >= 0).all()
        assert case.stretching or answer.weights.sum() <= 1 + 1e-9
        assert not case.box or answer.weights.sum() == pytest.approx(1)


@each_rule
def test_many_columns_are_worked_on_in_blocks_that_cannot_be_seen(case: Case) -> None:
    x = gaussian(10, case.least(1) + 2, 20_001)
    answer = case.make(1).aggregate(x)
    if answer.weights is None:
        np.testing.assert_allclose(answer.value, case.oracle(x, 1), rtol=0, atol=1e-9)
    else:  # padding with columns that all rows share changes no weight
        padded = case.make(1).aggregate(np.hstack([np.zeros((len(x), 10_000)), x]))
        assert padded.weights is not None
        np.testing.assert_allclose(padded.weights, answer.weights, rtol=0, atol=1e-9)
        np.testing.assert_allclose(answer.value, answer.weights @ x, rtol=0, atol=1e-9)
