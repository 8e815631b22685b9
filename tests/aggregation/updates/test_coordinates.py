"""Rows in the space that they span."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.updates.coordinates import coordinates
from robustfl.aggregation.updates.source import HostileRows


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 6), d=st.integers(1, 40), rank=st.integers(0, 5), power=st.integers(-6, 6), seed=st.integers(0, 99)
)
def test_products_are_kept(m: int, d: int, rank: int, power: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, d)) * 10.0**power
    found = coordinates(list(rows))
    assert found.shape[1] <= min(m, d, rank) + 1
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, rtol=1e-9, atol=1e-12 * np.square(rows).sum())


def test_sums_of_rows_are_sums_of_coordinates() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(5, 100))
    weights = rng.normal(size=5)
    found = coordinates([*rows, weights @ rows])
    np.testing.assert_allclose(weights @ found[:5], found[5], atol=1e-12)


def test_a_large_common_part_costs_no_digit_of_the_differences() -> None:
    rows = np.random.default_rng(2).normal(size=(6, 50)) + 1e6
    found = coordinates(list(rows))
    expected = np.square(rows[:, None] - rows[None]).sum(axis=2)
    np.testing.assert_allclose(np.square(found[:, None] - found[None]).sum(axis=2), expected, rtol=1e-6, atol=1e-6)


def test_tensors_of_any_type_give_float64() -> None:
    rows = torch.arange(12.0).reshape(3, 4)
    found = coordinates(list(rows))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found @ found.T, (rows @ rows.T).numpy(), rtol=1e-9)


def test_hostile_rows_are_refused() -> None:
    with pytest.raises(HostileRows):
        coordinates([[1.0, 2.0], [np.nan, 0.0]])
