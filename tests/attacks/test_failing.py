"""What failing machines send: noise, holes and flipped bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import CorruptedGradient, DroppedCoordinates, UniformNoise
from robustfl.errors import ParameterError
from tests.attacks.table import updates


def test_uniform_noise_is_uniform_and_looks_like_a_cluster() -> None:
    rows = UniformNoise()(np.zeros((4, 20_000)), f=3)
    assert 0.0 <= rows.min() < 0.001
    assert 0.999 < rows.max() < 1.0
    np.testing.assert_allclose(np.quantile(rows, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.01)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose((units @ units.T)[np.triu_indices(3, 1)], 0.75, atol=0.02)
    shifted = UniformNoise(low=-3.0, high=-1.0)(np.zeros((4, 20_000)), f=1)
    assert -3.0 <= shifted.min() < shifted.max() < -1.0


def test_dropped_coordinates_are_zero_and_the_others_stay() -> None:
    own = updates(3, 10_000) + 10.0
    rows = DroppedCoordinates(fraction=0.1)(updates(), f=0, own=own[:0])
    assert rows.shape == (0, 5)
    rows = DroppedCoordinates(fraction=0.1)(updates(4, 10_000), f=3, own=own)
    lost = rows == 0
    np.testing.assert_array_equal(rows[~lost], own[~lost])
    np.testing.assert_allclose(lost.mean(axis=1), 0.1, atol=0.01)
    assert (lost[0] != lost[1]).any()
    assert not DroppedCoordinates(fraction=1.0)(updates(), f=2, own=updates(2)).any()


@pytest.mark.parametrize(
    ("dtype", "whole"),
    [
        (torch.float16, torch.int16),
        (torch.bfloat16, torch.int16),
        (torch.float32, torch.int32),
        (torch.float64, torch.int64),
    ],
    ids=str,
)
def test_one_bit_flips_in_every_hit_number_and_every_bit_may(dtype: Any, whole: Any) -> None:
    own = torch.as_tensor(updates(2, 5_000)).to(dtype)
    rows = CorruptedGradient(fraction=0.5)(torch.zeros((4, 5_000), dtype=dtype), f=2, own=own)
    difference = (own.view(whole) ^ rows.view(whole)).to(torch.int64)
    hit = (difference != 0) & (rows != 0)  # what was not finite became 0
    assert float((difference != 0).double().mean()) == pytest.approx(0.5, abs=0.02)
    bits = 8 * own.element_size()
    unsigned = [int(value) % 2**bits for value in difference[hit].tolist()]
    assert {value.bit_count() for value in unsigned} == {1}
    assert {value.bit_length() for value in unsigned} >= set(range(1, bits - 3)) | {bits}
    assert bool(rows.isfinite().all())


def test_few_flips_leave_most_of_an_update_and_can_make_it_astronomic() -> None:
    own = updates(4, 50_000).astype(np.float32)
    rows = CorruptedGradient()(updates(4, 50_000).astype(np.float32), f=4, own=own)
    assert 0.998 < (rows == own).mean() < 0.9995
    assert np.abs(rows).max() > 1e6


def test_what_is_not_finite_is_sent_as_zero() -> None:
    own = np.array([[np.nan, np.inf, 1.0]])
    rows = CorruptedGradient(fraction=1e-9)(np.zeros((4, 3)), f=1, own=own)
    np.testing.assert_array_equal(rows, [[0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UniformNoise(low=1.0, high=1.0), r"low < high\. Found 1.0 and 1.0"),
        (lambda: UniformNoise(high=float("nan")), "a number"),
        (lambda: DroppedCoordinates(fraction=0.0), "fraction > 0"),
        (lambda: DroppedCoordinates(fraction=1.1), "fraction <= 1"),
        (lambda: CorruptedGradient(fraction=0.0), "fraction > 0"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build()
