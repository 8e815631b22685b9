"""Composition: never below the truth, and next to it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robustfl.privacy.composition import Composition, discretised
from robustfl.privacy.pairs import Added, Cohort, Exchanged, Gaussian, Pair, Removed, hockey_stick
from tests.privacy import exact

KINDS: dict[str, Pair] = {
    "remove": Removed(0.3, 0.8),
    "add": Added(0.3, 0.8),
    "exchange": Exchanged(0.3, 0.8),
}


@pytest.mark.parametrize(
    ("sigma", "rounds", "delta"),
    [
        (1.0, 1, 1e-5),
        (10.0, 100, 1e-5),
        (2.4, 25, 1e-3),
        (10.0, 100, 1e-12),
        (100.0, 10_000, 1e-12),
        (1e6, 1, 1e-9),
        (0.1, 1, 1e-5),
        (0.01, 1, 1e-5),
        (0.5, 1, 0.3),
        (1.0, 50, 1e-100),
        (3.0, 2, 1e-300),
    ],
)
def test_many_gaussians_are_one(sigma: float, rounds: int, delta: float) -> None:
    together = Composition([(Gaussian(1 / sigma), rounds)])
    mu = math.sqrt(rounds) / sigma
    epsilon = together.epsilon(delta)
    truth = exact.gaussian(epsilon, mu)
    assert truth <= delta * (1 + 1e-9), "an epsilon below the truth"
    assert exact.gaussian(epsilon * (1 - 2e-5) - 1e-8, mu) > delta, "an epsilon far above the truth"
    assert truth <= together.delta(epsilon) * (1 + 1e-9) <= max(truth * 1.001, 1e-299)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.5])
def test_one_and_two_releases_are_those_of_integration(kind: str, epsilon: float) -> None:
    once = Composition([(KINDS[kind], 1)]).delta(epsilon)
    profile = float(KINDS[kind].delta(epsilon))
    assert profile <= once <= profile * (1 + 1e-5) + 1e-12
    assert Composition([(KINDS[kind], 2)]).delta(epsilon) == pytest.approx(
        exact.twice(epsilon, 0.3, 0.8, kind), rel=1e-3, abs=1e-8
    )


@pytest.mark.parametrize(
    ("rate", "shift", "kind", "rounds", "delta", "step"),
    [
        (0.01, 1.0, "remove", 500, 1e-5, 1e-5),
        (0.01, 1.0, "add", 500, 1e-5, 1e-5),
        (0.2, 0.5, "remove", 60, 1e-6, 5e-5),
        (0.2, 0.5, "exchange", 60, 1e-3, 5e-5),
        (0.7, 2.0, "remove", 8, 1e-4, 3e-4),
    ],
)
def test_prices_lie_between_all_losses_rounded_down_and_all_rounded_up(
    rate: float, shift: float, kind: str, rounds: int, delta: float, step: float
) -> None:
    pair = {"remove": Removed, "add": Added, "exchange": Exchanged}[kind](rate, shift)
    together = Composition([(pair, rounds)])
    epsilon = together.epsilon(delta)
    low, high = exact.bracket(epsilon, rate, shift, kind, rounds, step)
    assert low <= delta <= high
    assert low <= together.delta(epsilon) <= high
    assert (high - low) / delta < 0.2, "the bracket is too wide to say anything"


@pytest.mark.parametrize("pair", [*KINDS.values(), Cohort(0.3, 1.6), Removed(1e-5, 2.0), Removed(0.9, 5.0)], ids=repr)
def test_a_single_release_is_never_below_its_own_profile(pair: Pair) -> None:
    for points in (256, 4096):
        together = Composition([(pair, 1)], points)
        for delta in (0.2, 1e-3, 1e-7, 1e-12):
            epsilon = together.epsilon(delta)
            assert float(pair.delta(epsilon)) <= delta * (1 + 1e-12)
            assert float(pair.delta(epsilon)) <= together.delta(epsilon) * (1 + 1e-12)


@pytest.mark.parametrize("pair", [*KINDS.values(), Cohort(0.1, 1.0)], ids=repr)
def test_a_coarse_grid_is_dearer_never_cheaper(pair: Pair) -> None:
    prices = [Composition([(pair, 200)], points).epsilon(1e-6) for points in (2**9, 2**11, 2**13, 2**17)]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] < prices[-1] * 1.5


def test_extreme_settings_are_never_below_the_truth() -> None:
    """Rates from 1e-9 to nearly 1, noise from 0.01 to 1e5, δ from 1e-15, one to a million releases."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        rate = 1 - 10 ** rng.uniform(-12, -1) if rng.random() < 0.1 else 10 ** rng.uniform(-9, 0)
        shift, delta = 10 ** rng.uniform(-5, 2), 10 ** rng.uniform(-15, -0.3)
        for pair in (Removed(rate, shift), Added(rate, shift), Cohort(rate, shift), Exchanged(rate, shift)):
            once = Composition([(pair, 1)], 1024).epsilon(delta)
            assert float(pair.delta(once)) <= delta * (1 + 1e-9), (pair, delta)
            assert np.isfinite(once)
        rounds = int(10 ** rng.uniform(0, 6))
        many = Composition([(Gaussian(shift), rounds)], 1024).epsilon(delta)
        assert float(hockey_stick(many, math.sqrt(rounds) * shift)) <= delta * (1 + 1e-9), (shift, rounds, delta)
        tiny = Composition([(Removed(rate, shift), rounds)], 1024)
        price = tiny.epsilon(delta)
        assert np.isfinite(price)
        assert price >= Composition([(Gaussian(1e-9), 1), (Removed(rate, shift), 1)], 1024).epsilon(delta) * 0.5 - 1e-6


def test_tiny_rates_do_not_drown_in_rounding_errors() -> None:
    """Nearly all mass is at one loss; a bound that were relative to it would allow no δ below 1e-10."""
    rare = Composition([(Removed(2e-6, 1.7), 25)])
    assert rare.epsilon(4e-14) < 0.4
    once = Composition([(Removed(2e-6, 1.7), 1)])
    assert once.delta(0.3) == pytest.approx(float(Removed(2e-6, 1.7).delta(0.3)), rel=1e-2)


def test_a_composition_is_dearer_than_its_parts_and_cheaper_than_their_sum() -> None:
    one, two = Removed(0.1, 1.0), Removed(0.5, 0.4)
    alone = [Composition([(one, 30)]).epsilon(1e-6), Composition([(two, 20)]).epsilon(1e-6)]
    together = Composition([(one, 30), (two, 20)]).epsilon(2e-6)
    assert max(alone) < together < sum(alone)
    assert together == pytest.approx(Composition([(two, 20), (one, 10), (one, 20)]).epsilon(2e-6), rel=1e-6)


def test_epsilon_and_delta_are_each_others_inverse() -> None:
    together = Composition([(Removed(0.05, 1.0), 300)])
    for delta in (1e-2, 1e-5, 1e-9):
        assert together.delta(together.epsilon(delta)) == pytest.approx(delta, rel=1e-5)
    many = together.epsilons([1e-2, 1e-5, 1e-9])
    assert many == pytest.approx([together.epsilon(delta) for delta in (1e-2, 1e-5, 1e-9)], rel=1e-5)


def test_what_costs_nothing_costs_nothing() -> None:
    assert Composition([]).epsilon(1e-5) == Composition([]).delta(0.0) == 0.0
    assert Composition([(Gaussian(1.0), 0)]).epsilon(1e-5) == 0.0
    assert Composition([(Removed(1e-9, 1.0), 10)]).epsilon(1e-5) == 0.0
    assert Composition([(Gaussian(1e-12), 1)]).epsilon(1e-9) <= 1e-8


def test_everything_may_be_revealed() -> None:
    sure = Composition([(Gaussian(1e4), 1)])
    assert sure.delta(1.0) == pytest.approx(1.0)
    assert sure.epsilon(1e-5) > 1e7


def test_the_grid_keeps_the_mass_of_both_distributions_and_counts_what_lies_beyond() -> None:
    pair, step = Removed(0.2, 1.0), 0.01
    first, mass, revealed = discretised(pair, step, -0.2, 2.0)
    losses = (first + np.arange(mass.size)) * step
    tails = pair.tails(losses)
    assert mass.sum() + revealed == pytest.approx(1.0, abs=1e-12)
    assert revealed == tails.above_p[-1] > 0
    for k in (0, 10, 100):
        above = float((mass[k + 1 :] * -np.expm1(losses[k] - losses[k + 1 :])).sum()) + revealed
        assert above >= float(pair.delta(losses[k]))
    exact_ends = discretised(pair, step, -0.23, 30.0)
    spread = (exact_ends[0] + np.arange(exact_ends[1].size)) * step
    assert (exact_ends[1] * np.exp(-spread)).sum() == pytest.approx(1.0, abs=1e-6)
