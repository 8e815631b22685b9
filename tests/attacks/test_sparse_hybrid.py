"""The sparse hybrid: which coordinates it attacks boldly, how far it goes there, and how far everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.attacks import ALIE, SparseHybrid
from robustfl.attacks.updates.alie import alie_z
from robustfl.defenses import Mean, Median, TrimmedMean
from robustfl.errors import AttackError, ParameterError
from robustfl.threats import Adversary, Attack, Knowledge
from tests.attacks.rounds import play
from tests.attacks.table import Matrix, updates
from tests.federation.worlds import simulation

HONEST: Matrix = np.array([[1.0, 2.0, -5.0, 4.0], [3.0, 2.0, -3.0, 8.0]])
"""Means 2, 2, -4, 6; standard deviations 1, 0, 1, 2."""
MODEL: Matrix = np.array([0.1, -0.2, 0.3, 0.1])
"""Saliencies 0.2, 0.4, 1.2, 0.6: the third coordinate, then the fourth."""


def chosen(share: float, saliency: list[float], layers: tuple[slice, ...] = (), **settings: Any) -> list[int]:
    mask = SparseHybrid(sensitive=share, **settings).mask(torch.tensor(saliency), layers)
    return mask.nonzero()[:, 0].tolist()


def squares(rows: Matrix, point: Matrix) -> float:
    return float(((rows - point) ** 2).sum())


def test_values_on_two_rows() -> None:
    """Off the mask sigma is (1, 0, 2), and the worst honest update is as far from the mean: z = 1 under Min-Sum."""
    rows = SparseHybrid(k_big=3.0)(HONEST, f=2, history=[MODEL])
    np.testing.assert_allclose(rows, [[1.0, 2.0, -1.0, 4.0]] * 2, rtol=1e-12)
    rows = SparseHybrid(k_big=0.5, sensitive=0.5)(HONEST, f=1, history=[-MODEL])
    np.testing.assert_allclose(rows, [[1.0, 2.0, -3.5, 5.0]], rtol=1e-12)


def test_values_with_the_shift_of_alie() -> None:
    honest = np.vstack([HONEST, HONEST])
    z = alie_z(6, 2)
    assert z == 0.0
    np.testing.assert_allclose(SparseHybrid(budget="alie")(honest, f=2, history=[MODEL]), [[2.0, 2.0, -1.0, 6.0]] * 2)
    z = alie_z(7, 3)
    assert z > 0.6
    expected = [2.0 - z, 2.0, -1.0, 6.0 - 2 * z]
    np.testing.assert_allclose(SparseHybrid(budget="alie")(honest, f=3, history=[MODEL])[0], expected, rtol=1e-12)


def test_few_attackers_do_not_push_towards_the_mean() -> None:
    honest = updates(3)
    assert alie_z(4, 1) < 0.0
    np.testing.assert_allclose(
        SparseHybrid(budget="alie", k_big=0.0)(honest, f=1, history=[np.ones(5)])[0], honest.mean(axis=0)
    )


def test_off_the_mask_it_is_alie_against_the_mean() -> None:
    honest, model = updates(12, 40), updates(1, 40, seed=1)[0]
    row = SparseHybrid(budget="alie", sensitive=0.1)(honest, f=5, history=[model])[0]
    alie = ALIE(z="formula", sign="against")(honest, f=5)[0]
    salient = np.argsort(-np.abs(model * honest.mean(axis=0)))[:4]
    np.testing.assert_allclose(np.delete(row, salient), np.delete(alie, salient), rtol=1e-12)
    shifts = np.abs(row - honest.mean(axis=0))[salient] / honest.std(axis=0)[salient]
    assert shifts.max() == pytest.approx(3.0)


# -- the mask


def test_the_mask_holds_the_most_salient_coordinates_whatever_their_sign() -> None:
    saliency = [0.1, -5.0, 0.0, 3.0, -0.2, 4.0]
    assert chosen(0.5, saliency) == [1, 3, 5]
    assert chosen(0.01, saliency) == [1]
    assert chosen(1.0, saliency) == [0, 1, 2, 3, 4, 5]
    assert chosen(0.3, [2.0] * 10) == [0, 1, 2], "the first ones among equals, and 3 of 10 in spite of rounding"


def test_the_share_is_taken_of_each_tensor_or_of_all() -> None:
    layers = (slice(0, 4), slice(4, 6))
    saliency = [9.0, 8.0, 7.0, 6.0, 0.1, 0.2]
    assert chosen(0.5, saliency, layers) == [0, 1, 5]
    assert chosen(0.1, saliency, layers) == [0, 5], "one at least"
    assert chosen(0.5, saliency, layers, per_layer=False) == [0, 1, 2]


@pytest.mark.parametrize(("per_layer", "moved"), [(True, [0, 3]), (False, [2, 3])])
def test_the_tensors_are_those_of_the_model(per_layer: bool, moved: list[int]) -> None:
    attack = SparseHybrid(sensitive=0.5, k_big=5.0, budget="alie", per_layer=per_layer)
    known = {"weights": np.array([0.02, 0.01, 0.03, 1.0]), "layers": (slice(0, 2), slice(2, 4))}
    row = play(Adversary(attack), HONEST[:, [0, 0, 0, 0]], **known)[0]
    assert alie_z(4, 2) == pytest.approx(0.0)
    assert np.flatnonzero(np.abs(row - 2.0) > 1.0).tolist() == moved


def test_each_round_has_a_mask_of_its_own() -> None:
    adversary = Adversary(SparseHybrid(k_big=5.0, sensitive=0.2))
    for number, salient in enumerate((0, 3, 2)):
        honest = 2.0 + np.random.default_rng(number).normal(size=(40, 5))
        weights = np.where(np.arange(5) == salient, 9.0, 0.1)
        shifts = np.abs(play(adversary, honest, round=number, weights=weights)[0] - honest.mean(axis=0))
        assert int(np.argmax(shifts / honest.std(axis=0))) == salient


# -- the limit on the mask


def test_an_outlier_on_the_mask_is_held_at_the_upper_fence() -> None:
    """Deviations 1, 2, 3, 4, 100 have the quartiles 2 and 4: nothing above 7 counts."""
    spread = np.array([1.0, 2.0, 3.0, 4.0, 100.0, 100.0])
    honest = 1000.0 + np.vstack([spread, -spread])
    model = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    row = SparseHybrid(sensitive=5 / 6, k_big=2.0, budget="min_sum")(honest, f=1, history=[model])[0]
    np.testing.assert_allclose(1000.0 - row, [2.0, 4.0, 6.0, 8.0, 14.0, 100.0], rtol=1e-9)


# -- the budget off the mask


CLOUDS = st.builds(updates, h=st.integers(2, 9), d=st.integers(2, 8), seed=st.integers(0, 10_000))


@settings(max_examples=60, deadline=None)
@given(honest=CLOUDS, share=st.floats(0.01, 0.7), k_big=st.floats(0.0, 50.0))
def test_off_the_mask_the_budget_of_min_sum_is_spent_to_the_last_bit(
    honest: Matrix, share: float, k_big: float
) -> None:
    d = honest.shape[1]
    model = np.random.default_rng(1).normal(size=d)
    row = SparseHybrid(sensitive=share, k_big=k_big)(honest, f=1, history=[model])[0]
    mean = honest.mean(axis=0)
    off = np.argsort(-np.abs(model * mean))[max(1, int(share * d + 1e-9)) :]
    others, point = honest[:, off], row[off]
    bound = max(squares(others, other) for other in others)
    assert squares(others, point) == pytest.approx(bound, rel=1e-9)
    assert squares(others, mean[off] + 1.001 * (point - mean[off])) > bound
    against = -np.sign(mean[off]) * others.std(axis=0)
    step = point - mean[off]
    assert step @ against == pytest.approx(np.linalg.norm(step) * np.linalg.norm(against), rel=1e-6)


def test_the_step_on_the_mask_leaves_the_rest_alone() -> None:
    honest, model = updates(9, 30), updates(1, 30, seed=1)
    one, other = (SparseHybrid(k_big=k)(honest, f=2, history=list(model))[0] for k in (1.0, 10.0))
    differing = np.flatnonzero(one != other)
    assert differing.tolist() == [int(np.argmax(np.abs(model[0] * honest.mean(axis=0))))]


# -- edges


def test_it_needs_the_global_model() -> None:
    assert SparseHybrid().required_knowledge() == Knowledge.PEERS | Knowledge.HISTORY
    with pytest.raises(AttackError, match="needs the global model, which was not given"):
        SparseHybrid()(HONEST, f=1)


@pytest.mark.parametrize("budget", ["alie", "min_sum"])
def test_honest_rows_that_are_not_finite_do_not_count(budget: Any) -> None:
    attack = SparseHybrid(budget=budget)
    bad = np.vstack([np.full(4, np.nan), [np.inf, 0.0, 0.0, 0.0], [0.0, -np.inf, np.nan, 0.0]])
    rows = attack(np.vstack([bad, HONEST]), f=3, history=[MODEL])
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows, attack(HONEST, f=3, history=[MODEL]))
    assert not attack(bad, f=2, history=[MODEL]).any()


@pytest.mark.parametrize("budget", ["alie", "min_sum"])
def test_nowhere_to_go_without_spread_or_mean(budget: Any) -> None:
    attack = SparseHybrid(budget=budget, k_big=9.0)
    agreed = np.tile(HONEST[:1], (5, 1))
    np.testing.assert_array_equal(attack(agreed, f=4, history=[MODEL]), agreed[:4])
    assert not attack(np.vstack([HONEST, -HONEST]), f=3, history=[MODEL]).any()
    np.testing.assert_array_equal(attack(HONEST[:1], f=1, history=[MODEL]), HONEST[:1])


def test_one_parameter_is_all_mask() -> None:
    np.testing.assert_allclose(SparseHybrid(k_big=2.0)(np.array([[1.0], [3.0]]), f=1, history=[np.zeros(1)]), [[0.0]])
    assert SparseHybrid()(HONEST, f=0, history=[MODEL]).shape == (0, 4)


@pytest.mark.filterwarnings("error")
def test_updates_at_the_edge_of_their_type_warn_nobody() -> None:
    honest = np.float32(1e30) * updates(5, 4).astype(np.float32)
    assert SparseHybrid()(honest, f=2, history=[MODEL]).shape == (2, 4)


def test_no_chance_in_it() -> None:
    honest, model = updates(9, 30), updates(1, 30, seed=1)
    one, other = (SparseHybrid()(honest, f=2, history=list(model), rng=seed) for seed in (0, 1))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda: SparseHybrid(sensitive=0.0), "sensitive > 0"),
        (lambda: SparseHybrid(sensitive=1.5), "sensitive <= 1"),
        (lambda: SparseHybrid(k_big=-1.0), "k_big >= 0"),
        (lambda: SparseHybrid(budget="min_max"), "budget"),  # type: ignore[arg-type]
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], Any], found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        build()


# -- in a federation


@pytest.mark.parametrize("rule", [Median(), TrimmedMean(f=4)], ids=repr)
def test_training_suffers(rule: Any) -> None:
    def accuracy(attack: Attack | None) -> float:
        trace = simulation(rule, attack=attack, clients=10, rounds=40, f=4).run()
        assert not trace.rejected_rows
        return trace.accuracy[-1][1]

    assert accuracy(SparseHybrid()) < accuracy(None) - 0.2


def test_averaging_gives_way_to_a_bolder_step_on_the_mask() -> None:
    def accuracy(k_big: float) -> float:
        return simulation(Mean(), attack=SparseHybrid(k_big=k_big), clients=10, rounds=40, f=4).run().accuracy[-1][1]

    assert accuracy(30.0) < accuracy(0.0) - 0.3


def test_the_steps_count_the_standard_deviations_they_are_told() -> None:
    narrow, wide = (SparseHybrid(sensitive=1.0, k_big=2.0, ddof=d)(HONEST, f=1, history=[MODEL]) for d in (0, 1))
    mean, rows = HONEST.mean(axis=0), len(HONEST)
    np.testing.assert_allclose(wide - mean, (narrow - mean) * (rows / (rows - 1)) ** 0.5, rtol=1e-12)
    assert (narrow != mean).any()
