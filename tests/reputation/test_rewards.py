"""Rewards: exactly as many entries as the quota says, the largest ones, ties together, in the form of the update."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from robustfl.errors import ParameterError, UpdatesError
from robustfl.reputation.rewards import cutoffs, reward

Vector = NDArray[np.float64]


@given(st.permutations(range(1, 31)), st.integers(0, 30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_without_ties_the_count_is_exact(order: list[int], count: int, negative: list[bool]) -> None:
    values = np.array(order, dtype=float) * np.where(negative, -1.0, 1.0)
    given_back = reward(values, count / 30)
    assert np.count_nonzero(given_back) == count
    kept = given_back != 0
    np.testing.assert_array_equal(given_back[kept], values[kept])
    if 0 < count < 30:
        assert np.abs(values[kept]).min() > np.abs(values[~kept]).max()


@given(arrays(np.float64, st.integers(1, 12), elements=st.integers(-3, 3).map(float)), st.floats(0, 1))
def test_ties_with_the_last_entry_are_all_kept(values: Vector, quota: float) -> None:
    count = math.ceil(quota * len(values) * (1 - 1e-12))
    least = sorted(np.abs(values).tolist(), reverse=True)[count - 1] if count else math.inf
    expected = [value if abs(value) >= least else 0.0 for value in values.tolist()]
    assert reward(values, quota).tolist() == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (0.0, [0, 0, 0, 0, 0]),
        (1e-6, [5, 0, 0, 0, 0]),
        (0.2, [5, 0, 0, 0, 0]),
        (0.21, [5, 0, 0, -4, 0]),
        (0.6, [5, 0, 3, -4, -3]),  # 3 and -3 tie
        (1.0, [5, 1, 3, -4, -3]),
    ],
)
def test_by_hand(quota: float, expected: list[float]) -> None:
    assert reward(np.array([5.0, 1.0, 3.0, -4.0, -3.0]), quota).tolist() == expected


@pytest.mark.parametrize("size", [3, 7, 10, 49, 1000])
def test_a_quota_that_means_a_whole_number_of_entries_is_not_rounded_up(size: int) -> None:
    values = np.arange(1.0, size + 1.0)
    for count in range(1, size + 1, max(1, size // 20)):
        assert np.count_nonzero(reward(values, count * (1.0 / size))) == count


def test_one_sort_serves_all_quotas() -> None:
    values = np.array([1.0, -4.0, 2.0, 3.0])
    assert cutoffs(values, [0.0, 0.25, 0.5, 1.0]) == [math.inf, 4.0, 3.0, 1.0]
    assert cutoffs(torch.as_tensor(values), [0.0, 0.25, 0.5, 1.0]) == [math.inf, 4.0, 3.0, 1.0]


def test_every_layer_has_its_own_count_and_counters_pass() -> None:
    update = {"w": np.array([[1.0, 9.0], [2.0, 3.0]]), "b": np.array([0.1, -0.2]), "steps": np.array(7)}
    half = reward(update, 0.5)
    assert half["w"].tolist() == [[0.0, 9.0], [0.0, 3.0]]
    assert half["b"].tolist() == [0.0, -0.2]
    assert half["steps"] == 7
    listed = reward(list(update.values()), 0.5)
    assert [layer.tolist() for layer in listed] == [layer.tolist() for layer in half.values()]
    assert reward(np.empty((0, 3)), 0.5).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_keep_their_type_and_are_not_written_to(dtype: torch.dtype) -> None:
    values = torch.tensor([[1.0, -2.0], [3.0, 2.0]], dtype=dtype)
    kept = values.clone()
    given_back = reward(values, 0.5)
    assert given_back.tolist() == [[0.0, -2.0], [3.0, 2.0]]
    assert given_back.dtype == dtype
    assert torch.equal(values, kept)
    assert torch.equal(reward(torch.tensor([3, 1]), 0.1), torch.tensor([3, 1]))
    assert reward(torch.empty(0, dtype=dtype), 1.0).shape == (0,)


@pytest.mark.parametrize("quota", [-0.1, 1.1, math.nan, math.inf])
def test_a_quota_is_a_share(quota: float) -> None:
    with pytest.raises(ParameterError, match="0 <= quota <= 1"):
        reward(np.ones(3), quota)


@pytest.mark.parametrize("payload", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_largest_entries(payload: float) -> None:
    for values in (np.array([1.0, payload]), torch.tensor([payload, 1.0])):
        with pytest.raises(UpdatesError, match="should be finite"):
            reward(values, 0.5)
    with pytest.raises(UpdatesError, match="Found str"):
        reward(["no layer"], 0.5)
