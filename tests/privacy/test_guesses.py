"""Lower bounds from one run: published values, and no evidence where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robustfl.errors import ParameterError
from robustfl.privacy import Release, ceiling, curve, f_dp_bound, f_dp_refuted, steinke_bound, steinke_p_value
from robustfl.privacy.guesses import curve_of, gaussian_curve


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "delta", "expected"),
    [
        (100, 100, 75, 0.0, 0.70221),
        (100, 100, 75, 1e-4, 0.69947),
        (1000, 100, 75, 1e-4, 0.67298),
        (100_000, 1510, 1439, 1e-5, 2.67585),
        (1000, 200, 190, 1e-5, 2.39362),
        (1000, 1000, 1000, 1e-5, 5.78228),
        (100, 100, 50, 1e-5, 0.0),
    ],
)
def test_steinke(canaries: int, guesses: int, right: int, delta: float, expected: float) -> None:
    assert steinke_bound(canaries, guesses, right, delta=delta) == pytest.approx(expected, abs=1e-5)


def test_the_p_value_and_the_largest_possible_bound() -> None:
    assert steinke_p_value(100, 100, 75, epsilon=math.log(3), delta=0.0) == pytest.approx(0.55347082, abs=1e-8)
    for guesses, expected in [(10, 1.05187), (100, 3.49297), (1000, 5.80907)]:
        assert steinke_bound(guesses, guesses, guesses, delta=0.0) == pytest.approx(expected, abs=1e-5)
    assert steinke_p_value(10, 0, 0, epsilon=0.0, delta=0.0) == 1.0


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "delta", "expected"),
    [(100, 100, 75, 1e-4, 1.33251), (1000, 100, 75, 1e-4, 0.84172), (1000, 200, 190, 1e-5, 3.91610)],
)
def test_f_dp(canaries: int, guesses: int, right: int, delta: float, expected: float) -> None:
    assert f_dp_bound(canaries, guesses, right, delta=delta) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("guesses", "delta", "steinke", "f_dp"),
    [(100, 1e-5, 3.490, 8.216), (100, 1e-3, 3.202, 6.149), (200, 1e-3, 3.566, 7.191), (1000, 1e-3, 3.489, 9.487)],
)
def test_ceilings(guesses: int, delta: float, steinke: float, f_dp: float) -> None:
    assert ceiling(guesses, delta=delta) == pytest.approx((steinke, f_dp), abs=2e-3)


@pytest.mark.parametrize("canaries", [50, 200, 1000])
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_without_signal_are_no_evidence_in_either_direction(canaries: int, sign: int) -> None:
    """Of 400 audits of pure noise at most α and three standard errors find ε > 0, also with all scores mirrored."""
    rng = np.random.default_rng(canaries)
    joined = rng.random((400, canaries)) < 0.5
    scores = sign * rng.standard_normal((400, canaries))
    threshold = 1.0
    guesses = (np.abs(scores) > threshold).sum(axis=1)
    right = ((scores > threshold) & joined).sum(axis=1) + ((scores < -threshold) & ~joined).sum(axis=1)
    most = 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)
    for delta in (1e-5, 1e-3):
        found = [
            steinke_p_value(canaries, int(r), int(v), epsilon=0.0, delta=delta) < 0.05
            for r, v in zip(guesses, right, strict=True)
        ]
        assert sum(found) <= most
    refuted = [f_dp_refuted(canaries, int(r), int(v), gaussian_curve(0.0)) for r, v in zip(guesses, right, strict=True)]
    assert sum(refuted) <= most


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_the_f_dp_test_errs_as_rarely_as_it_says_at_the_curve_itself(mu: float) -> None:
    """Canaries with one Gaussian answer each are the worst case of the curve; no threshold may be refuted often."""
    rng = np.random.default_rng(int(10 * mu))
    audits, canaries = 300, 200
    joined = rng.random((audits, canaries)) < 0.5
    ratios = (rng.standard_normal((audits, canaries)) + mu * joined) * mu - mu**2 / 2
    for threshold in (0.0, mu):
        guess_in, guess_out = ratios > threshold, ratios < -threshold
        guesses = (guess_in | guess_out).sum(axis=1)
        right = (guess_in & joined).sum(axis=1) + (guess_out & ~joined).sum(axis=1)
        refuted = [
            f_dp_refuted(canaries, int(r), int(v), gaussian_curve(mu)) for r, v in zip(guesses, right, strict=True)
        ]
        assert sum(refuted) <= audits * 0.05 + 3 * math.sqrt(audits * 0.05 * 0.95)


def test_a_curve_made_of_points_is_below_the_true_one_and_near_it() -> None:
    points = curve([Release(noise_multiplier=1.0)], tuple(float(d) for d in np.geomspace(1e-7, 0.38, 40)))
    loose, true = curve_of(points), gaussian_curve(1.0)
    for x in np.linspace(0.0, 1.0, 101):
        assert loose(float(x)) <= true(float(x)) + 1e-9
        assert loose(float(x)) >= true(float(x)) - 0.01
    assert curve_of([(1e-5, math.inf)])(0.5) == 0.0
    assert gaussian_curve(1.0)(0.0) == 0.0
    assert gaussian_curve(1.0)(1.0) == 1.0


def test_bounds_grow_with_right_guesses_and_with_alpha() -> None:
    steinke = [steinke_bound(100, 100, right, delta=1e-4) for right in range(50, 101, 10)]
    f_dp = [f_dp_bound(100, 100, right, delta=1e-4) for right in range(50, 101, 10)]
    assert steinke == sorted(steinke)
    assert f_dp == sorted(f_dp)
    assert all(one <= other + 1e-6 for one, other in zip(steinke, f_dp, strict=True))
    assert steinke_bound(100, 100, 75, delta=0.0, alpha=0.01) < steinke_bound(100, 100, 75, delta=0.0, alpha=0.05)


@pytest.mark.parametrize("counts", [(10, 11, 5), (10, 5, 6), (0, 0, 0), (10, 5, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ParameterError, match="right <= guesses <= canaries"):
        steinke_bound(*counts, delta=1e-5)
    with pytest.raises(ParameterError, match="right <= guesses <= canaries"):
        f_dp_bound(*counts, delta=1e-5)
