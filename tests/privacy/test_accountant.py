"""Prices: published values, relations, stages, curves and the search for noise."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.privacy import Everyone, FixedCohort, Poisson, Release, curve, delta, epsilon, noise_multiplier

# sigma, rate, rounds, delta, epsilon of the accountant dp-accounting (PLD, interval 1e-4 or 1e-3)
PUBLISHED = [
    (1.1, 0.01, 1000, 1e-5, 1.5154),
    (1.0, 0.01, 500, 1e-5, 1.3261),
    (0.7, 0.01, 1000, 1e-5, 4.6183),
    (1.1, 256 / 60000, 14062, 1e-5, 2.3817),
    (1.1, 0.01, 10_000, 1e-5, 5.1926),
    (4.0, 0.01, 10_000, 1e-5, 0.9470),
    (0.5, 0.1, 200, 1e-3, 34.2740),
    (1.0, 0.05, 300, 1e-4, 4.9219),
    (1.0, 0.2, 50, 1e-3, 7.0658),
    (2.0, 0.2, 50, 1e-3, 2.3555),
    (1.0, 0.1, 100, 1e-5, 7.0466),
    (2.4, 1.0, 25, 1e-3, 8.0003),
    (1.5, 0.3, 40, 1e-3, 5.0604),
    (1.0, 16 / 90, 100, 1e-3, 9.2442),
    (1.0, 4 / 13, 75, 1e-2, 11.6667),
    (0.91, 128 / 1347, 100, 1e-5, 8.0328),
]
# population, cohort, rounds, sigma, delta, epsilon for one exchanged record, and what Poisson's formula would say
FIXED = [
    (100, 10, 50, 1.0, 1e-3, 16.8840, 3.3139),
    (100, 20, 50, 1.0, 1e-3, 31.4031, 7.0658),
    (100, 20, 50, 2.0, 1e-3, 7.8596, 2.3555),
    (100, 20, 50, 4.0, 1e-3, 2.5564, 0.9416),
    (100, 30, 40, 1.5, 1e-3, 17.8370, 5.0604),
    (100, 50, 40, 2.0, 1e-3, 18.4086, 6.0774),
    (100, 30, 25, 2.381, 1e-3, 5.9456, 2.0003),
    (20, 10, 30, 2.0, 1e-2, 12.2926, 3.8282),
    (15, 8, 60, 4.0, 1e-2, 7.1067, 2.4762),
    (1000, 50, 100, 1.0, 1e-5, 19.4638, 3.5022),
    (1000, 50, 100, 2.0, 1e-5, 3.8490, 1.0973),
    (10, 5, 1, 2.0, 1e-5, 3.5340, None),
]


def poisson(sigma: float, rate: float, rounds: int) -> Release:
    return Release(noise_multiplier=sigma, sampling=Poisson(rate=rate), rounds=rounds)


@pytest.mark.parametrize(("sigma", "rate", "rounds", "level", "published"), PUBLISHED)
def test_prices_of_poisson_sampling_are_the_published_ones(
    sigma: float, rate: float, rounds: int, level: float, published: float
) -> None:
    assert epsilon([poisson(sigma, rate, rounds)], level) == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize(("population", "size", "rounds", "sigma", "level", "true", "wrong"), FIXED)
def test_cohorts_of_fixed_size_have_their_own_price(
    population: int, size: int, rounds: int, sigma: float, level: float, true: float, wrong: float | None
) -> None:
    cohort = FixedCohort(size=size, population=population)
    release = Release(noise_multiplier=sigma, sampling=cohort, rounds=rounds)
    assert epsilon([release], level) == pytest.approx(true, abs=2e-4)
    if wrong is not None:
        assert epsilon([poisson(sigma, size / population, rounds)], level) == pytest.approx(wrong, abs=2e-4)
        # A neighbour in which an opposite record has the place is Poisson sampling with half the noise: a lower bound.
        assert true > epsilon([poisson(sigma / 2, size / population, rounds)], level)


@pytest.mark.parametrize(
    ("sigma", "rate", "rounds", "exchanged"),
    [(1.0, 0.1, 50, 5.0701), (1.0, 0.2, 50, 11.6867), (2.0, 0.2, 50, 4.7625), (4.0, 0.2, 50, 2.0431)],
)
def test_an_exchanged_record_under_poisson_sampling(sigma: float, rate: float, rounds: int, exchanged: float) -> None:
    assert epsilon([poisson(sigma, rate, rounds)], 1e-3, "replace_one") == pytest.approx(exchanged, abs=2e-4)


def test_everyone_is_the_gaussian_mechanism() -> None:
    for sigma, expected in [(1.0, 4.37718), (2.0, 1.99309), (4.0, 0.92634), (1.1, 3.92125), (0.5, 9.99726)]:
        assert epsilon([Release(noise_multiplier=sigma)], 1e-5) == pytest.approx(expected, abs=1e-5)
    hundred = Release(noise_multiplier=20.0, rounds=100)
    assert epsilon([hundred], 1e-5, "replace_one") == pytest.approx(4.37718, abs=1e-5)
    full = FixedCohort(size=7, population=7)
    assert epsilon([Release(noise_multiplier=2.0, sampling=full)], 1e-5) == pytest.approx(4.37718, abs=1e-5)
    assert epsilon([poisson(1.0, 1.0, 1)], 1e-5) == pytest.approx(4.37718, abs=1e-5)


def test_stages_add_up_in_any_order() -> None:
    stages = [poisson(1.0, 0.2, 10), poisson(2.0, 0.2, 40)]
    price = epsilon(stages, 1e-3)
    assert price == pytest.approx(3.8136, abs=2e-4)
    assert epsilon(stages[::-1], 1e-3) == pytest.approx(price, rel=1e-9)
    split = [poisson(1.0, 0.2, 4), poisson(2.0, 0.2, 40), poisson(1.0, 0.2, 6)]
    assert epsilon(split, 1e-3) == pytest.approx(price, rel=1e-9)
    assert epsilon([*stages, poisson(5.0, 1.0, 0)], 1e-3) == price
    mixed = [poisson(1.0, 0.2, 10), Release(noise_multiplier=3.0, rounds=5)]
    assert epsilon(mixed, 1e-3) > max(epsilon([one], 1e-3) for one in mixed)


def test_asking_twice_gives_the_same_and_changes_nothing() -> None:
    stages = [poisson(1.0, 0.2, 10), poisson(2.0, 0.2, 40)]
    assert epsilon(stages, 1e-3) == epsilon(stages, 1e-3)
    assert stages == [poisson(1.0, 0.2, 10), poisson(2.0, 0.2, 40)]


def test_the_ends_of_the_scale() -> None:
    assert epsilon([], 1e-5) == delta([], 0.0) == 0.0
    assert epsilon([Release(noise_multiplier=0.0)], 1e-5) == math.inf
    assert delta([Release(noise_multiplier=0.0)], 3.0) == 1.0
    assert delta([Release(noise_multiplier=1.0)], math.inf) == 0.0
    assert epsilon([Release(noise_multiplier=0.0, rounds=0)], 1e-5) == 0.0
    assert epsilon([poisson(1.0, 1e-8, 5)], 1e-5) == 0.0
    assert 0 < epsilon([poisson(1e5, 1.0, 1)], 1e-9) < 1e-4
    assert epsilon([poisson(0.01, 0.5, 1)], 1e-5) > 4000


def test_delta_from_epsilon_and_the_curve_are_consistent() -> None:
    release = poisson(1.0, 0.1, 100)
    for level, price in curve([release], (1e-2, 1e-5, 1e-8)):
        assert price == pytest.approx(epsilon([release], level), rel=1e-5)
        assert delta([release], price) == pytest.approx(level, rel=1e-4)
    prices = [price for _, price in curve([release])]
    assert prices == sorted(prices)


@settings(max_examples=3, deadline=None)
@given(
    st.floats(0.4, 8.0), st.sampled_from([1.0, 0.3, 0.01]), st.integers(1, 400), st.sampled_from([1e-2, 1e-5, 1e-10])
)
def test_prices_are_monotone(sigma: float, rate: float, rounds: int, level: float) -> None:
    price = epsilon([poisson(sigma, rate, rounds)], level)
    slack = 1e-4 * price + 1e-9
    assert epsilon([poisson(sigma * 1.1, rate, rounds)], level) <= price + slack
    assert epsilon([poisson(sigma, rate, rounds + 1)], level) >= price - slack
    assert epsilon([poisson(sigma, min(1.0, rate * 1.2), rounds)], level) >= price - slack
    assert epsilon([poisson(sigma, rate, rounds)], level / 2) >= price - slack
    assert epsilon([poisson(sigma, rate, rounds)], level, "replace_one") >= price - slack
    assert price <= epsilon([Release(noise_multiplier=sigma, rounds=rounds)], level) + slack, "sampling never costs"


@pytest.mark.parametrize(
    ("target", "level", "sampling", "rounds", "expected"),
    [
        (1.0, 1e-5, None, 1, 3.73063),
        (2.0, 1e-5, None, 1, 1.99381),
        (0.5, 1e-5, None, 1, 7.03183),
        (8.0, 1e-5, None, 1, 0.60023),
        (8.0, 1e-5, Poisson(rate=0.01), 1000, 0.5863),
        (2.0, 1e-3, FixedCohort(size=30, population=100), 25, 4.9367),
    ],
)
def test_noise_for_a_target(target: float, level: float, sampling: object, rounds: int, expected: float) -> None:
    sigma = noise_multiplier(target_epsilon=target, delta=level, sampling=sampling, rounds=rounds)  # type: ignore[arg-type]
    assert sigma == pytest.approx(expected, rel=3e-4)
    release = Release(noise_multiplier=sigma, sampling=sampling or Everyone(), rounds=rounds)  # type: ignore[arg-type]
    assert target - 0.01 <= epsilon([release], level) <= target


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.floats(0.1, 12.0), st.floats(0.005, 1.0), st.integers(1, 500), st.sampled_from([1e-3, 1e-4, 1e-5]))
def test_noise_reproduces_any_target(target: float, rate: float, rounds: int, level: float) -> None:
    sigma = noise_multiplier(target_epsilon=target, delta=level, sampling=Poisson(rate=rate), rounds=rounds)
    assert target - 0.01 <= epsilon([poisson(sigma, rate, rounds)], level) <= target


def test_a_rule_with_a_declared_sensitivity() -> None:
    trimmed = Release(noise_multiplier=4.0, joining=None, replacing=1.0, rounds=10)
    assert trimmed.relations == ("replace_one",)
    assert epsilon([trimmed], 1e-5) == epsilon([Release(noise_multiplier=4.0, rounds=10)], 1e-5)
    cohort = FixedCohort(size=20, population=100)
    clipped_sum = Release(noise_multiplier=8.0, sampling=cohort, rounds=10)
    robust = Release(noise_multiplier=4.0, sampling=cohort, joining=None, replacing=1.0, rounds=10)
    assert epsilon([robust], 1e-5) == epsilon([clipped_sum], 1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: epsilon([Release(noise_multiplier=1.0)], 0.0), "0 < delta < 1. Found delta=0.0"),
        (lambda: epsilon([Release(noise_multiplier=1.0)], 1.0), "0 < delta < 1"),
        (lambda: curve([Release(noise_multiplier=1.0)], (1e-3, 2.0)), "0 < delta < 1"),
        (lambda: delta([Release(noise_multiplier=1.0)], -0.1), "epsilon >= 0"),
        (lambda: Release(noise_multiplier=-1.0), "finite and >= 0"),
        (lambda: Release(noise_multiplier=math.nan), "finite and >= 0"),
        (lambda: Release(noise_multiplier=1.0, rounds=-1), "rounds >= 0"),
        (lambda: Release(noise_multiplier=1.0, joining=0.5), "at least half of `replacing`"),
        (lambda: Release(noise_multiplier=1.0, replacing=0.0), "`replacing` should be finite and > 0"),
        (lambda: Poisson(rate=0.0), "0 < rate <= 1"),
        (lambda: FixedCohort(size=5, population=4), "1 <= size <= population"),
        (lambda: noise_multiplier(target_epsilon=0.0, delta=1e-5, rounds=1), "finite and > 0"),
        (lambda: noise_multiplier(target_epsilon=1.0, delta=1e-5, rounds=0), "rounds >= 1"),
        (
            lambda: noise_multiplier(target_epsilon=1.0, delta=1e-2, rounds=1, sampling=Poisson(rate=0.005)),
            "taking part, 0.005, should exceed `delta`",
        ),
        (
            lambda: epsilon(
                [Release(noise_multiplier=1.0, sampling=FixedCohort(size=1, population=2))], 1e-5, "add_or_remove"
            ),
            "Use 'replace_one'",
        ),
        (
            lambda: epsilon([Release(noise_multiplier=1.0, sampling=Poisson(rate=0.1), joining=None)], 1e-5),
            "Poisson sampling needs `joining`",
        ),
        (
            lambda: epsilon([Release(noise_multiplier=1.0, joining=None)], 1e-5, "add_or_remove"),
            "is not known",
        ),
    ],
)
def test_refusals_say_what_is_wrong(wrong: object, says: str) -> None:
    with pytest.raises(ParameterError) as refused:
        wrong()  # type: ignore[operator]
    assert says in str(refused.value)


def test_stages_with_different_relations_use_the_one_that_all_have() -> None:
    stages = [poisson(2.0, 0.2, 10), Release(noise_multiplier=2.0, sampling=FixedCohort(size=2, population=10))]
    assert epsilon(stages, 1e-3) == epsilon(stages, 1e-3, "replace_one")


def test_draws_of_a_binomial_size_are_poisson_sampling() -> None:
    """Drawing Binomial(n, q) and then a subset of this size includes each pair with q²: it is the same scheme."""
    n, q = 6, 0.3
    sizes = [math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(n + 1)]
    pairs = sum(p * k * (k - 1) / (n * (n - 1)) for k, p in enumerate(sizes))
    assert pairs == pytest.approx(q**2)


def test_more_noise_is_never_dearer_on_a_fine_grid() -> None:
    prices = [epsilon([poisson(1.0 + 0.001 * step, 0.1, 50)], 1e-5) for step in range(4)]
    assert all(one > other for one, other in pairwise(prices))
