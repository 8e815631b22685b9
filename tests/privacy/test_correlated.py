"""Correlated noise: the optimum between its closed-form bounds, its certificate, and its accounting."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

from robustfl.errors import MissingExtraError, ParameterError
from robustfl.privacy import Factorisation, epsilon, independent, mean_error_bounds, optimal, square_root


def dual_value(rounds: int) -> float:
    """A lower bound of the least root mean square error, and at its fixed point the least error itself.

    The Lagrange dual of `min tr(A X⁻¹ Aᵀ), X_tt <= 1` is `max_v 2 tr((V^½ AᵀA V^½)^½) − Σ v`; the fixed point is that
    of Denisov, McMahan, Rush, Smith and Thakurta (NeurIPS 2022). Every v gives a valid lower bound.
    """
    workload = np.tril(np.ones((rounds, rounds)))
    weights = np.ones(rounds)
    for _ in range(300):
        half = np.sqrt(weights)
        values, vectors = np.linalg.eigh(half[:, None] * (workload.T @ workload) * half)
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        bound = 2 * np.trace(root) - weights.sum()
        weights = np.diag(root)
    return math.sqrt(bound / rounds)


@pytest.mark.parametrize("rounds", [1, 2, 4, 8, 16])
def test_the_optimum_has_a_certificate_and_lies_between_the_closed_forms(rounds: int) -> None:
    best = optimal(rounds)
    low, high = mean_error_bounds(rounds)
    assert low - 1e-9 <= best.error() <= high + 1e-9
    assert dual_value(rounds) <= best.error() * (1 + 1e-9)
    assert best.error() == pytest.approx(dual_value(rounds), rel=1e-5)
    assert best.sensitivity() == pytest.approx(1.0)
    if rounds > 1:
        assert best.error() < independent(rounds).error()


def test_two_rounds_by_hand() -> None:
    """With X = [[1, c], [c, 1]]: tr(A X⁻¹ Aᵀ) = (3 − 2c) / (1 − c²), which is least at c = (3 − √5) / 2."""
    c = (3 - math.sqrt(5)) / 2
    assert optimal(2).error() == pytest.approx(math.sqrt((3 - 2 * c) / (1 - c**2) / 2), rel=1e-6)


@pytest.mark.parametrize("made", [independent(9), square_root(9), square_root(9, 3), optimal(6), optimal(6, 2)])
def test_every_factorisation_decodes_the_prefix_sums(made: Factorisation) -> None:
    np.testing.assert_allclose(made.decoder @ made.encoder, np.tril(np.ones((made.rounds,) * 2)), atol=1e-9)


def test_the_square_root_is_one_and_its_error_grows_with_the_logarithm() -> None:
    c = square_root(40).encoder
    np.testing.assert_allclose(c @ c, np.tril(np.ones((40, 40))), atol=1e-12)
    for rounds in (1, 10, 1000):
        low, high = mean_error_bounds(rounds)
        # Fichtenberger, Henzinger and Upadhyay bound the factor of the square root by 1 + ln(rounds) / π.
        assert low <= high + 1e-12 <= 1 + 2e-12 + math.log(rounds) / math.pi
    assert independent(1000).error() > 5 * square_root(1000).error()


def test_bands_pay_where_records_take_part_again() -> None:
    banded = optimal(16, bands=4)
    assert banded.bands == 4
    assert banded.sensitivity(4, 4) == pytest.approx(2.0)
    assert optimal(16).sensitivity(4, 4) == pytest.approx(4.0)
    assert banded.error(4, 4) < square_root(16, bands=4).error(4, 4) < independent(16).error(4, 4)
    assert banded.error(4, 4) < optimal(16).error(4, 4)


@pytest.mark.parametrize("made", [square_root(12), square_root(12, 4), optimal(8, 3)])
@pytest.mark.parametrize("participations", [1, 2, 3])
def test_no_record_moves_the_encoded_updates_farther_than_the_sensitivity(
    made: Factorisation, participations: int
) -> None:
    rng = np.random.default_rng(participations)
    apart = made.rounds // participations
    bound, worst = made.sensitivity(participations, apart), 0.0
    for _ in range(200):
        updates = np.zeros((made.rounds, 3))
        for turn in range(participations):
            vector = rng.choice([-1.0, 1.0]) * np.eye(3)[0] if rng.random() < 0.5 else rng.standard_normal(3)
            updates[turn * apart] = vector / np.linalg.norm(vector)
        worst = max(worst, float(np.linalg.norm(made.encoder @ updates)))
    assert worst <= bound + 1e-9
    assert worst > bound / math.sqrt(participations) * 0.8


def test_the_noise_of_the_sums_has_the_declared_error_and_the_price_is_one_release() -> None:
    made, rng = square_root(32), np.random.default_rng(0)
    noise = made.noise(rng, dimension=4000, noise_multiplier=3.0, clip=0.5)
    error = math.sqrt((np.cumsum(noise, axis=0) ** 2).mean())
    assert error == pytest.approx(3.0 * 0.5 * made.error(), rel=0.02)
    assert epsilon([made.release(1.0)], 1e-5) == pytest.approx(4.37718, abs=1e-5)
    alone = independent(32).noise(np.random.default_rng(1), dimension=10, noise_multiplier=1.0)
    np.testing.assert_allclose(alone, np.random.default_rng(1).standard_normal((32, 10)))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Factorisation(np.ones((3, 3))), "lower triangular"),
        (lambda: Factorisation(np.diag([1.0, 0.0])), "positive diagonal"),
        (lambda: square_root(0), "rounds >= 1"),
        (lambda: optimal(8, 9), "1 <= bands <= rounds"),
        (lambda: optimal(1000), "square_root() is close"),
        (lambda: independent(5).sensitivity(0), "at least 1 and fit"),
        (lambda: independent(5).sensitivity(3, 3), "at least 1 and fit"),
        (lambda: independent(5).sensitivity(7), "at least 1 and fit"),
    ],
)
def test_refusals_say_what_is_wrong(wrong: Any, says: str) -> None:
    with pytest.raises(ParameterError) as refused:
        wrong()
    assert says in str(refused.value)


def test_without_cvxpy_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'robustfl\[privacy\]'"):
        optimal(4)
