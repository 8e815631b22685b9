"""Lengths of messages: clipped whatever they hold, and a clip that follows them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robustfl.aggregation import AdaptiveClip
from robustfl.errors import ParameterError
from robustfl.federation.mechanisms import clipping
from robustfl.federation.mechanisms.clipping import GROWTH, Clip, clipped, left_for_the_sum, lengths

LENGTHS = torch.linspace(0.5, 1.5, 50)


def follower(first: float, noise: float = 1e-9, quantile: float = 0.5) -> Clip:
    return Clip(first, AdaptiveClip(quantile=quantile, rate=0.2, count_noise=noise))


@pytest.mark.parametrize("first", [0.1, 0.9, 1.1, 10.0])
def test_a_clip_finds_the_quantile_from_below_and_from_above(first: float) -> None:
    """Where a rule with the sign of the bit wrong runs away, to 0 or to infinity."""
    clip, rng = follower(first), np.random.default_rng(0)
    for _ in range(120):
        clip.follow(clip.count(LENGTHS[:, None]), len(LENGTHS), rng)
    assert clip.value == pytest.approx({0.1: 0.974, 0.9: 1.003, 1.1: 1.007, 10.0: 0.999}[first], abs=0.02)
    assert len(clip.used) == 120
    assert clip.used[0] == first


def test_the_count_is_divided_by_the_expected_cohort_and_absence_counts_for_nothing() -> None:
    """Half of the messages say as much as all of them would, about half of a step of the clip."""
    rng = np.random.default_rng(0)
    whole, half, nobody = follower(10.0), follower(10.0), follower(10.0)
    rows = LENGTHS[:, None]
    for clip, came in ((whole, rows), (half, rows[:25]), (nobody, rows[:0])):
        clip.follow(clip.count(came), 50, rng)
    steps = [math.log(clip.value / 10.0) for clip in (whole, half, nobody)]
    assert steps == pytest.approx([-0.1, -0.05, 0.0], abs=1e-6)


def test_what_was_scaled_back_counts_as_long_and_what_is_not_finite_too() -> None:
    clip = follower(1.0)
    rows = clipped(torch.randn(40, 500, generator=torch.Generator().manual_seed(0)), 1.0)
    assert clip.count(rows) == -20.0
    assert clip.count(torch.tensor([[math.nan], [math.inf], [0.5]])) == -0.5


def test_liars_cannot_raise_the_clip_without_end() -> None:
    clip, rng = follower(1.0), np.random.default_rng(0)
    for _ in range(500):
        clip.follow(-25.0, 50, rng)
    assert clip.value == GROWTH


def test_the_count_has_its_share_of_the_noise() -> None:
    """Both together cost what was asked for: the squares of the losses add up."""
    adaptive = AdaptiveClip(quantile=0.5, rate=0.2, count_noise=5.0)
    grown = left_for_the_sum(2.0, adaptive)
    assert 1 / grown**2 + 1 / (2 * 5.0) ** 2 == pytest.approx(1 / 2.0**2)
    assert left_for_the_sum(2.0, None) == 2.0
    with pytest.raises(ParameterError, match="noise_multiplier < 2 count_noise"):
        left_for_the_sum(10.0, adaptive)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_row_is_longer_than_the_clip(dtype: torch.dtype) -> None:
    rows = torch.randn(6, 300, dtype=dtype, generator=torch.Generator().manual_seed(0))
    rows[1] *= 1e30
    rows[2, 3], rows[3, 4], rows[4] = math.nan, -math.inf, 0.0
    rows[5] *= 1e-3
    found = clipped(rows, 0.25)
    assert float(found.double().norm(dim=1).max()) <= 0.25 * (1 + 1e-6)
    assert not found[[2, 3, 4]].any()
    assert torch.equal(found[5], rows[5]), "a short row keeps its bits"
    assert float(torch.nn.functional.cosine_similarity(found[1].double(), rows[1].double(), dim=0)) > 1 - 1e-6


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16], ids=str)
def test_what_is_clipped_stays_the_same_when_it_is_clipped_again(kind: torch.dtype) -> None:
    rows = (torch.as_tensor(np.random.default_rng(0).standard_normal((50, 300))) * 0.1).to(kind)
    once = clipped(rows, 0.3)
    assert clipped(once, 0.3) is once, "nothing is copied"
    assert float(lengths(once).max()) <= 0.3 * (1 + 2 * torch.finfo(kind).eps)
    mixed = torch.cat([once[:2], rows[:1] * 10])
    assert torch.equal(clipped(mixed, 0.3)[:2], once[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 7, 1810])
def test_kernels_and_torch_clip_alike(dtype: torch.dtype, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(12, d, dtype=dtype, generator=torch.Generator().manual_seed(d))
    rows[0], rows[1, 0], rows[2, -1], rows[3] = 0.0, math.nan, -math.inf, 1e38
    rows[4] *= 1e-30
    before = rows.clone()
    found = clipped(rows, 0.5)
    assert torch.equal(rows.isnan(), before.isnan()), "what is handed in stays as it is"
    monkeypatch.setattr(clipping, "compiles", lambda: False)
    expected = clipped(rows, 0.5)
    torch.testing.assert_close(found, expected, rtol=32 * torch.finfo(dtype).eps, atol=0.0)
    assert torch.equal(found[[0, 1, 2, 4]], expected[[0, 1, 2, 4]])
