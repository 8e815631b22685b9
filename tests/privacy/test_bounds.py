"""Bounds of what an attack can reach, and intervals of what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from robustfl.errors import ParameterError
from robustfl.privacy import (
    Release,
    area_bound,
    clopper_pearson,
    curve,
    epsilon_from_rates,
    example_curve,
    gaussian_mu,
    membership_bound,
    reconstruction_bound,
)
from robustfl.privacy.bounds import gaussian_epsilon


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (250, 500), (499, 500), (1, 10_000)])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
def test_the_exact_interval_of_a_proportion(successes: int, trials: int, alpha: float) -> None:
    """Its ends are where the observed tail has exactly the probability alpha / 2."""
    low, high = clopper_pearson(successes, trials, alpha)
    assert low <= successes / trials <= high
    if successes:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(alpha / 2)
    if successes < trials:
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(alpha / 2)


@pytest.mark.parametrize("chance", [0.02, 0.5, 0.9])
def test_the_interval_covers_at_least_as_often_as_it_says(chance: float) -> None:
    trials, alpha = 40, 0.1
    covered = [low <= chance <= high for low, high in (clopper_pearson(k, trials, alpha) for k in range(trials + 1))]
    assert stats.binom.pmf(np.flatnonzero(covered), trials, chance).sum() >= 1 - alpha


@pytest.mark.parametrize(
    ("counts", "alpha", "expected"),
    [
        ((500, 500, 0, 500), 0.01, 4.54191581),
        ((500, 500, 0, 500), 0.05, 4.90559421),
        ((60, 100, 5, 100), 0.05, 1.48308498),
        ((50, 100, 50, 100), 0.05, 0.0),
        ((0, 500, 500, 500), 0.05, 0.0),
    ],
)
def test_epsilon_from_rates(counts: tuple[int, int, int, int], alpha: float, expected: float) -> None:
    assert epsilon_from_rates(*counts, alpha=alpha) == pytest.approx(expected, abs=1e-7)


def test_epsilon_from_rates_uses_the_negatives_too_and_divides_among_records() -> None:
    positives_only = (100, 500, 0, 500)
    negatives_only = (500, 500, 400, 500)
    assert epsilon_from_rates(*negatives_only) == pytest.approx(epsilon_from_rates(*positives_only))
    assert epsilon_from_rates(*positives_only, records=2) == pytest.approx(epsilon_from_rates(*positives_only) / 2)
    assert epsilon_from_rates(*positives_only, delta=0.01) < epsilon_from_rates(*positives_only)


@pytest.mark.parametrize(
    ("prior", "mu", "expected"),
    [(0.01, 0.5, 0.03389), (0.01, 1.0, 0.09236), (0.01, 2.0, 0.37208), (1 / 1347, 1.0, 0.01472)],
)
def test_reconstruction(prior: float, mu: float, expected: float) -> None:
    assert reconstruction_bound(prior, mu) == pytest.approx(expected, abs=1e-5)
    assert reconstruction_bound(prior, 0.0) == pytest.approx(prior)


def test_membership_is_bounded_by_the_curve_and_the_best_attack_stays_below() -> None:
    """The best attack on one Gaussian answer has TPR = Φ(Φ⁻¹(FPR) + μ): below the bound, and near it."""
    rates = np.array([0.0, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.0])
    points = curve([Release(noise_multiplier=1.0)], tuple(float(d) for d in np.geomspace(1e-6, 0.38, 60)))
    bound = membership_bound(rates, points)
    best = stats.norm.cdf(stats.norm.ppf(rates) + 1.0)
    assert (best <= bound + 1e-9).all()
    assert (bound[2:] <= best[2:] * 1.02 + 1e-3).all()
    assert membership_bound(0.01, [(0.0, np.inf)]) == 1.0
    assert membership_bound(0.01, [(1e-5, 0.0)]) == pytest.approx(0.01001)


def test_the_area_is_bounded_and_the_best_attack_stays_below() -> None:
    """The best attack on one Gaussian answer has the area Φ(μ / √2)."""
    for mu in (0.1, 1.0, 3.0):
        points = curve([Release(noise_multiplier=1 / mu)], tuple(float(d) for d in np.geomspace(1e-6, 0.9, 80)))
        best = stats.norm.cdf(mu / np.sqrt(2))
        assert best <= area_bound(points) <= best + 0.01
    assert area_bound([(1e-5, 0.0)]) == pytest.approx(0.5, abs=3e-4)
    assert area_bound([]) == area_bound([(0.0, np.inf)]) == 1.0


def test_what_a_curve_of_clients_says_of_one_example() -> None:
    """One client exchanged is one that leaves and one that joins: at most, so the bound of the exchange lies below."""
    deltas = tuple(float(d) for d in np.geomspace(1e-6, 0.7, 60))
    release = Release(noise_multiplier=4.0, rounds=10)
    joining, replacing = (curve([release], deltas, relation) for relation in ("add_or_remove", "replace_one"))
    assert example_curve(replacing, "client", "replace_one") == replacing
    assert example_curve(joining, "example", "add_or_remove") == joining
    assert example_curve(replacing, "example", "replace_one") is None
    twice = example_curve(joining, "client", "add_or_remove")
    assert twice is not None
    assert twice[9] == (pytest.approx((1 + np.exp(joining[9][1])) * deltas[9]), 2 * joining[9][1])
    rates = np.array([0.001, 0.01, 0.1])
    assert (membership_bound(rates, replacing) <= membership_bound(rates, twice)).all()
    assert example_curve([(1e-5, np.inf)], "client", "add_or_remove") == [(1.0, np.inf)]


def test_the_gaussian_with_a_given_price() -> None:
    assert gaussian_mu(4.3771780957, 1e-5) == pytest.approx(1.0, abs=1e-9)
    for mu, delta in [(0.01, 1e-3), (1.0, 1e-9), (8.0, 0.2)]:
        epsilon = gaussian_epsilon(mu, delta)
        assert epsilon == 0.0 or gaussian_mu(epsilon, delta) == pytest.approx(mu, rel=1e-9)
    assert gaussian_epsilon(0.0, 1e-5) == gaussian_epsilon(0.01, 0.5) == 0.0
    assert gaussian_mu(0.0, 0.5) == pytest.approx(2 * stats.norm.ppf(0.75))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: clopper_pearson(3, 2),
        lambda: clopper_pearson(0, 0),
        lambda: clopper_pearson(1, 2, alpha=0.0),
        lambda: reconstruction_bound(1.5, 1.0),
        lambda: reconstruction_bound(0.5, -1.0),
        lambda: gaussian_mu(-1.0, 0.1),
        lambda: gaussian_mu(1.0, 0.0),
    ],
)
def test_nonsense_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError, match="Found"):
        wrong()
