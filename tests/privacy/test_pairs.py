"""The dominating pairs against the definition of a privacy profile."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.privacy.pairs import Added, Cohort, Exchanged, Gaussian, Pair, Removed, hockey_stick
from tests.privacy import exact

PAIRS: list[Pair] = [
    Gaussian(0.7),
    Removed(0.2, 1.0),
    Added(0.2, 1.0),
    Cohort(0.2, 2.0),
    Exchanged(0.2, 1.0),
    Removed(1e-6, 3.0),
    Cohort(1.0, 0.5),
]


@pytest.mark.parametrize("mu", [1e-9, 1e-4, 0.05, 0.3, 1.0, 7.0, 40.0])
def test_the_gaussian_profile_keeps_its_digits_far_below_the_rounding_unit(mu: float) -> None:
    levels = np.array([0.0, 0.1, 1.0, 3.0, 10.0, 25.0]) * mu + mu**2 / 2
    for level, delta in zip(levels, hockey_stick(levels, mu), strict=True):
        assert float(delta) == pytest.approx(exact.gaussian(float(level), mu), rel=1e-10)


def test_the_gaussian_profile_neither_overflows_nor_leaves_its_range() -> None:
    for mu in (1e-12, 1e-3, 1.0, 1e3):
        values = hockey_stick(np.array([-1e6, -800.0, -1.0, 0.0, 1.0, 800.0, 1e6]), mu)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= 1).all()


@pytest.mark.parametrize(("kind", "pair"), [("remove", 0), ("add", 1), ("exchange", 2)])
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.95])
@pytest.mark.parametrize("epsilon", [-0.5, 0.0, 0.4, 1.3])
def test_profiles_of_sampled_records_are_the_integral(kind: str, pair: int, rate: float, epsilon: float) -> None:
    made: Pair = [Removed(rate, 0.8), Added(rate, 0.8), Exchanged(rate, 0.8)][pair]
    assert float(made.delta(epsilon)) == pytest.approx(exact.profile(epsilon, rate, 0.8, kind), rel=1e-6, abs=1e-11)


def test_adding_and_removing_a_sampled_record_are_not_the_same() -> None:
    removed = Removed(0.1, 2.0)
    assert float(removed.delta(1.0)) > 10 * float(Added(0.1, 2.0).delta(1.0))
    assert float(Added(0.1, 2.0).delta(-np.log1p(-0.1) + 1e-9)) == pytest.approx(0.0, abs=1e-12)  # a bounded loss
    assert float(removed.delta(-1.0)) == pytest.approx(1 - np.exp(-1.0))


def test_cohorts_of_fixed_size_amplify_the_exchange() -> None:
    epsilon, rate, mu = 0.7, 0.3, 1.0
    inner = np.log1p(np.expm1(epsilon) / rate)
    assert float(Cohort(rate, mu).delta(epsilon)) == pytest.approx(rate * exact.gaussian(inner, mu))
    assert float(Cohort(rate, mu).delta(-epsilon)) == pytest.approx(
        1 - np.exp(-epsilon) + np.exp(-epsilon) * rate * exact.gaussian(inner, mu)
    )


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_tails_profile_and_sketch_tell_the_same(pair: Pair) -> None:
    losses = pair.sketch()
    tails = pair.tails(losses)
    assert (np.diff(losses) > 0).all()
    assert tails.below_p[0] < 1e-12
    assert tails.above_p[-1] < 1e-300
    np.testing.assert_allclose(tails.above_p + tails.below_p, 1.0, rtol=1e-12)
    np.testing.assert_allclose(tails.above_q + tails.below_q, 1.0, rtol=1e-12)
    near = (np.abs(losses) < 15) & (tails.above_p > 1e-9)
    told = tails.above_p[near] - np.exp(losses[near]) * tails.above_q[near]
    np.testing.assert_allclose(told, pair.delta(losses[near]), atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_profiles_fall_and_are_convex_in_the_exponential_of_epsilon(pair: Pair) -> None:
    levels = np.log(np.linspace(0.05, 8.0, 400))
    profile = pair.delta(levels)
    assert (np.diff(profile) <= 1e-15).all()
    assert (np.diff(profile, 2) >= -1e-12).all()
    assert (profile >= np.maximum(0.0, -np.expm1(levels)) - 1e-15).all()
