"""Rows that lie: what is not finite, huge, malformed or missing, and finite rows that are merely far away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.defenses import NNM, CenteredClipping, Krum, Mean, Median, TrimmedMean
from robustfl.errors import ExceededError, InfeasibleError, UpdatesError
from tests.aggregation.cases import Case, each_rule, gaussian, rules

D = 5
HOSTILE: dict[str, tuple[str, Any, str]] = {
    "nan": ("float64", [0.0, np.nan, 0.0, 0.0, 0.0], "not finite"),
    "inf": ("float64", [np.inf, 0.0, 0.0, 0.0, 0.0], "not finite"),
    "-inf and nan": ("float32", [np.nan, -np.inf, 0.0, 0.0, 0.0], "not finite"),
    "1e38 in float32": ("float32", [1e38] * D, "too large to sum"),
    "1e300 in float64": ("float64", [-1e300] * D, "too large to sum"),
    "too short": ("float32", [0.0] * (D - 1), "wrong layout"),
    "another number of axes": ("float64", [[0.0] * D], "wrong layout"),
    "missing": ("float64", None, "missing"),
    "a text": ("float64", "0.0", "unreadable"),
    "objects": ("float64", np.array([None] * D), "unreadable"),
    "complex": ("float64", np.zeros(D, dtype=np.complex128), "unreadable"),
    "an integer beyond floats": ("float64", [10**400] * D, "unreadable"),
}


def row_of(kind: str) -> tuple[str, Any, str]:
    dtype, row, reason = HOSTILE[kind]
    if isinstance(row, list) and "integer" not in kind:
        row = np.array(row, dtype=dtype)
    return dtype, row, reason


@each_rule
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("caught", [1, 2])
def test_hostile_rows_are_rejected_and_f_stays(case: Case, kind: str, caught: int) -> None:
    dtype, bad, reason = row_of(kind)
    clean = list(gaussian(1, case.least(2) + 3, D).astype(dtype))
    updates = [clean[0], *[bad] * caught, *clean[1:]]
    answer = case.make(2).aggregate(updates)
    expected = case.make(2).aggregate(clean)
    np.testing.assert_array_equal(answer.value, expected.value)
    assert np.flatnonzero(answer.rejected).tolist() == list(range(1, 1 + caught))
    assert all(answer.info["reasons"][row].startswith(reason) for row in range(1, 1 + caught))
    if expected.weights is not None:
        assert answer.weights is not None
        np.testing.assert_array_equal(answer.weights[~answer.rejected], expected.weights)
        assert (answer.weights[answer.rejected] == 0).all()


@each_rule
@pytest.mark.parametrize("hole", [np.nan, np.inf, 1e38])
def test_stacked_updates_are_searched_too_and_stay_as_they_are(case: Case, hole: float) -> None:
    x = gaussian(2, max(case.least(2), 3) + 2, D).astype(np.float32)
    x[3, 1] = hole
    before = x.copy()
    answer = case.make(2).aggregate(x)
    np.testing.assert_array_equal(answer.value, case.make(2)(np.delete(x, 3, axis=0)))
    np.testing.assert_array_equal(x, before)
    assert np.flatnonzero(answer.rejected).tolist() == [3]


@each_rule
def test_more_caught_clients_than_f_are_counted_and_can_be_an_error(case: Case) -> None:
    x, declared = gaussian(3, max(case.least(2), 3) + 6, D), 2 if case.told else 0
    for caught in range(6):
        answer = case.make(2).aggregate(x)
        np.testing.assert_array_equal(answer.value, case.make(2)(x[caught:]))
        assert answer.info["exceeded"] == max(0, caught - declared)
        if caught <= declared:
            np.testing.assert_array_equal(case.make(2)(x, hostile="stop"), answer.value)
        else:
            with pytest.raises(
                ExceededError, match=rf"more clients are caught than f={declared}\. Found {caught}\. row 0"
            ):
                case.make(2)(x, hostile="stop")
        x[caught] = np.nan


@each_rule
def test_too_few_clean_rows_are_refused_with_the_numbers(case: Case) -> None:
    x = np.full((case.least(2) + 2, D), np.nan)
    lost = rf"{len(x)} of {len(x)} rows were rejected, which does not lower f\. Row 0: not finite\."
    remedy = "Lower f, use" if case.told else "Use"
    with pytest.raises(InfeasibleError, match=rf"n=0, f=[02]\. {lost} {remedy} a rule with a weaker precondition"):
        case.make(2)(x)


@each_rule
def test_rows_that_are_all_of_one_client_count_for_nobody(case: Case) -> None:
    ids = ["a"] * 9
    x = gaussian(1, 9, D)
    with pytest.raises(InfeasibleError, match=r"n=0, f=[02]\. 9 of 9 rows were rejected.* Row 0: duplicate id"):
        case.make(2)(x, ids=ids)
    with pytest.raises(UpdatesError, match=r"told to raise\. row 0: duplicate id"):
        case.make(2)(x, ids=ids, hostile="raise")


@each_rule
def test_hostile_rows_can_be_an_error(case: Case) -> None:
    x = gaussian(4, case.least(2) + 2, D)
    x[1] = np.nan
    with pytest.raises(UpdatesError, match=r"told to raise\. row 1: not finite"):
        case.make(2).aggregate(x, hostile="raise")
    np.testing.assert_array_equal(case.make(2)(x[2:], hostile="raise"), case.make(2)(x[2:]))


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"should be 'reject', 'stop' or 'raise'\. Found hostile='zero'"):
        Mean()([[1.0], [2.0]], hostile="zero")


@each_rule
@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float32", -1e20), ("float64", 1e100)])
@pytest.mark.parametrize("f", [1, 3])
def test_f_finite_rows_of_any_size_move_a_robust_rule_by_a_bounded_amount(
    case: Case, dtype: str, size: float, f: int
) -> None:
    if case.robust_from is None:
        f = 1  # one row is enough
    n = max(case.least(f), (case.robust_from or case.least)(f)) + (2 if case.robust_from is None else 0)
    x = gaussian(5, n, D).astype(dtype)
    honest = x[f:].astype(np.float64)
    x[:f] = size
    moved = np.linalg.norm(case.make(f)(x).astype(np.float64) - honest.mean(axis=0))
    reach = max(np.linalg.norm(honest, axis=1).max(), 1.0)
    if case.robust_from is None:
        assert moved > 1e3 * reach
    else:
        assert moved <= 10 * reach


@rules(robust_from=None)
def test_colluding_rows_at_one_place_do_move_what_is_not_robust(case: Case) -> None:
    x = gaussian(6, case.least(1) + 4, D)
    x[0] = 1e9
    assert np.abs(case.make(1)(x)).max() > 1e6


@pytest.mark.parametrize("f", [1, 2, 4])
def test_one_row_beyond_the_bound_breaks_median_and_trimmed_mean(f: int) -> None:
    x = gaussian(7, 2 * f + 1, D)
    x[: f + 1] = 1e9
    for rule in (Median(), TrimmedMean(f=f)):
        assert np.abs(rule(x)).max() > 1e8, rule
    x[f] = 0.0
    for rule in (Median(), TrimmedMean(f=f)):
        assert np.abs(rule(x)).max() < 10, rule


def test_krum_never_picks_a_row_that_is_not_a_number() -> None:
    x = gaussian(8, 7, D)
    for row in range(7):
        holed = x.copy()
        holed[row] = np.nan
        assert np.isfinite(Krum(f=1)(holed)).all()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_no_row_of_an_identity_that_comes_twice_counts_whichever_comes_first(order: list[int]) -> None:
    rows, names = [[1.0], [3.0], [100.0], [5.0]], ["a", "b", "a", "c"]
    answer = Mean().aggregate([rows[row] for row in order], ids=[names[row] for row in order])
    assert answer.value.tolist() == [4.0]
    assert answer.info["reasons"] == {order.index(row): "duplicate id 'a'" for row in (0, 2)}
    assert np.flatnonzero(answer.rejected).tolist() == sorted(answer.info["reasons"])
    assert answer.info["ids"] == tuple(names[row] for row in order)


@pytest.mark.parametrize("form", ["lists", "array", "tensor", "state dicts"])
def test_a_message_that_is_delivered_again_counts_once(form: str) -> None:
    values, ids = [[0.0], [1.0], [9.0], [9.0], [9.0]], [1, 2, 3, 3, 3]
    rows: Any = {
        "lists": values,
        "array": np.array(values),
        "tensor": torch.tensor(values),
        "state dicts": [{"w": torch.tensor(row), "step": torch.tensor(1)} for row in values],
    }[form]
    answer = Median().aggregate(rows, ids=ids, hostile="stop")
    found = answer.value["w"] if form == "state dicts" else answer.value
    assert found.tolist() == [1.0]
    assert answer.info["reasons"] == {3: "a copy of row 2", 4: "a copy of row 2"}
    assert answer.info["exceeded"] == 0


def test_a_number_of_rows_is_no_list_of_ids() -> None:
    with pytest.raises(UpdatesError, match=r"`ids` should name every update once\. Found 3\."):
        Mean()(np.eye(3), ids=3)  # type: ignore[arg-type]


def test_copies_of_rows_that_are_not_finite_and_copies_beside_another_row_count_for_nobody() -> None:
    rows = [[1.0], [2.0], [np.nan], [np.nan], [9.0], [9.0], [8.0]]
    answer = Mean().aggregate(rows, ids=["a", "b", "c", "c", "d", "d", "d"])
    assert answer.value.tolist() == [1.5]
    assert set(answer.info["reasons"].values()) == {"duplicate id 'c'", "duplicate id 'd'"}
    assert answer.info["exceeded"] == 2


def test_who_is_missing_is_not_caught_and_who_repeats_itself_is_caught_once() -> None:
    rows: list[Any] = [[1.0], [2.0], [3.0], None, None, [9.0], [9.5], [9.0]]
    ids = [0, 1, 2, 3, 4, 5, 5, 5]
    answer = TrimmedMean(f=1).aggregate(rows, ids=ids, hostile="stop")
    assert (answer.value.tolist(), answer.info["exceeded"]) == ([2.0], 0)
    rows[4] = [np.nan]
    assert TrimmedMean(f=1).aggregate(rows, ids=ids).info["exceeded"] == 1
    for rule in (TrimmedMean(f=1), NNM(f=1)):
        with pytest.raises(
            ExceededError, match=r"f=1\. Found 2\. row 3: missing; row 4: not finite; row 5: duplicate id 5"
        ):
            rule(rows, ids=ids, hostile="stop")


def test_a_state_is_left_alone_when_the_answer_is_refused() -> None:
    rule = CenteredClipping()
    rule([[1.0], [2.0]])
    before = rule.state_dict()
    with pytest.raises(ExceededError):
        rule([[1.0], [2.0], [np.inf]], hostile="stop")
    assert rule.state_dict() == before
