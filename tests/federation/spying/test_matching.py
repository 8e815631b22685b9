"""Numbers of reconstructions: pairs, decibels, similarity, who is recognised, and what chance reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustfl.federation.spying.matching import MOST_PSNR, distinct, matched, recognised, scaled, ssim
from tests.threats.privacy.seen import digits


def flat(value: float, side: int = 8) -> torch.Tensor:
    return torch.full((1, 1, side, side), value)


def test_an_error_of_a_tenth_is_twenty_decibels_and_a_perfect_sample_a_hundred() -> None:
    assert matched(flat(0.5), flat(0.6), 0.0, 1.0).psnr.item() == pytest.approx(20.0, abs=1e-4)
    assert matched(flat(0.5), flat(0.5), 0.0, 1.0).psnr.item() == MOST_PSNR
    assert matched(flat(50.0), flat(60.0), 0.0, 100.0).psnr.item() == pytest.approx(20.0, abs=1e-4)


@pytest.mark.parametrize("side", [5, 8, 16])
def test_similarity_of_images(side: int) -> None:
    rng = torch.Generator().manual_seed(0)
    picture = torch.rand(2, 3, side, side, generator=rng)
    torch.testing.assert_close(ssim(picture, picture), torch.ones(2, dtype=torch.float64))
    assert ssim(flat(0.5, side), flat(0.6, side)).item() == pytest.approx(0.98360924, abs=1e-6)


def test_a_sample_that_occurs_twice_counts_once() -> None:
    originals = torch.cat([flat(0.0), flat(1.0), flat(0.0)])
    assert len(distinct(originals)) == 2
    found = matched(torch.cat([flat(1.0), flat(0.0)]), originals, 0.0, 1.0)
    assert found.psnr.tolist() == [MOST_PSNR, MOST_PSNR]
    assert found.places.tolist() == [1, 0]


def test_what_is_missing_or_not_finite_has_no_decibels() -> None:
    originals = torch.cat([flat(0.0), flat(0.5), flat(1.0)])
    found = matched(torch.cat([flat(float("nan")), flat(1.0)]), originals, 0.0, 1.0)
    assert found.psnr.tolist() == [0.0, 0.0, MOST_PSNR]
    assert found.places.tolist() == [-1, -1, 1]
    nothing = matched(originals[:0], originals, 0.0, 1.0)
    assert nothing.psnr.tolist() == [0.0, 0.0, 0.0]
    assert nothing.share(20.0) == 0.0
    assert recognised(nothing, originals) == 0.0


def test_what_leaves_the_range_is_clamped_and_columns_have_ranges_of_their_own() -> None:
    assert matched(flat(7.0), flat(1.0), 0.0, 1.0).psnr.item() == MOST_PSNR
    low, high = torch.tensor([0.0, 10.0, 3.0]), torch.tensor([1.0, 30.0, 3.0])
    torch.testing.assert_close(scaled(torch.tensor([[0.5, 20.0, 3.0]]), low, high), torch.tensor([[0.5, 0.5, 0.0]]))


def test_a_sample_is_recognised_where_it_is_the_nearest_of_all() -> None:
    everything = torch.cat([flat(value) for value in (0.0, 0.4, 0.5, 1.0)])
    near, far = matched(flat(0.49), flat(0.5), 0.0, 1.0), matched(flat(0.44), flat(0.5), 0.0, 1.0)
    assert recognised(near, everything) == 1.0
    assert recognised(far, everything) == 0.0
    changed = matched(flat(0.46), flat(0.47), 0.0, 1.0)  # the client's own change of an image is in nobody's list
    assert recognised(changed, everything) == 1.0


def test_random_images_of_others_reach_fifteen_decibels_but_not_twenty() -> None:
    population, rng = digits(), np.random.default_rng(0)
    shares: dict[tuple[int, float], list[float]] = {}
    for _ in range(30):
        order = torch.as_tensor(rng.permutation(len(population.labels)))
        for count in (24, 64):
            pairs = matched(population.features[order[8 : 8 + count]], population.features[order[:8]], 0.0, 1.0)
            for level in (15.0, 20.0, 25.0):
                shares.setdefault((count, level), []).append(pairs.share(level))
    means = {place: float(np.mean(values)) for place, values in shares.items()}
    assert means[24, 15.0] == pytest.approx(0.14, abs=0.06)
    assert means[64, 15.0] == pytest.approx(0.30, abs=0.08)
    assert means[64, 20.0] < 0.03
    assert means[24, 25.0] == means[64, 25.0] == 0.0
