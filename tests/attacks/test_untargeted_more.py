"""Noise, constants, scaling, free riders, and attacks that are made for one kind of rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from robustfl.attacks import (
    AntiCGE,
    Constant,
    FreeRider,
    Gaussian,
    Geodesic,
    GradientAscent,
    LabelFlip,
    OneCoordinate,
    Scaling,
    SignFlip,
    SignStatistics,
    TrustCosine,
    UniformNoise,
)
from robustfl.defenses import CGE, FLAME, FLTrust, Krum, Mean, Median, SignGuard
from robustfl.errors import AttackError, ParameterError
from robustfl.threats import Adversary, Knowledge
from tests.aggregation.case import Case
from tests.aggregation.cases import each_rule
from tests.attacks.rounds import play
from tests.attacks.table import Matrix, updates
from tests.federation.worlds import simulation
from tests.federation.worlds import weights as weights_of


def cosine(a: Matrix, b: Matrix) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# -- noise and constants


def test_uniform_noise_around_zero_has_no_common_direction() -> None:
    rows = UniformNoise(low=-1.0)(np.zeros((4, 20_000)), f=2)
    np.testing.assert_allclose(rows.mean(axis=1), 0.0, atol=0.02)
    assert abs(cosine(*rows)) < 0.03


def test_gaussian_noise_may_have_a_center_or_the_size_of_the_own_update() -> None:
    rows = Gaussian(center=0.1, scale=0.1)(np.zeros((4, 20_000)), f=2)
    np.testing.assert_allclose(rows.mean(axis=1), 0.1, atol=0.005)
    np.testing.assert_allclose(rows.std(axis=1), 0.1, rtol=0.03)
    own = np.array([[1.0], [10.0]]) * np.random.default_rng(0).normal(5.0, 1.0, size=(2, 20_000))
    noise = Gaussian(mode="additive", scale="own")(np.zeros((4, 20_000)), f=2, own=own) - own
    np.testing.assert_allclose(noise.std(axis=1), [1.0, 10.0], rtol=0.03)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_constants_up_to_the_smallest_number_there_is(dtype: type[np.floating]) -> None:
    honest: Any = np.ones((4, 6), dtype)
    assert not Constant()(honest, f=2).any()
    assert (Constant(value=-7.0)(honest, f=2) == -7.0).all()
    tiny = Constant(value="denormal")(honest, f=2)
    assert (tiny > 0).all()
    assert (tiny == np.nextafter(dtype(0), dtype(1))).all()


@each_rule
@pytest.mark.parametrize("value", [0.0, "denormal"])
def test_every_rule_survives_degenerate_updates(case: Case, value: Any) -> None:
    honest = updates(case.least(2) + 4, 12).astype(np.float32)
    rows = np.vstack([Constant(value=value)(honest, f=2), honest])
    assert np.isfinite(case.make(2)(rows)).all()


def test_scaling_puts_the_attackers_model_in_place_of_the_global_one() -> None:
    own: Matrix = np.tile(updates(1), (2, 1))
    np.testing.assert_allclose(Scaling()(updates(), f=2, own=own), 10 * own)
    n, f, rate = 8, 2, 0.5
    rows = np.vstack([Scaling(factor=n / (f * rate))(updates(), f=f, own=own), np.zeros((n - f, 5))])
    np.testing.assert_allclose(rate * Mean()(rows), own[0])


def test_labels_of_two_classes_change_places() -> None:
    swap = LabelFlip(mode="swap", source=2, target=0)
    assert swap.poison_labels(np.array([0, 1, 2, 3, 2]), 4, np.random.default_rng(0)).tolist() == [2, 1, 0, 3, 0]
    assert swap.confusion() == (2, 0)
    with pytest.raises(ParameterError, match="differ from `source`"):
        LabelFlip(mode="swap", source=1, target=1)


# -- free riders


@pytest.mark.parametrize("message", ["delta", "gradient"])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_sending_the_last_step_again_is_momentum(message: str, rate: float) -> None:
    """a_t = (h/n) mu + (f/n) a_{t-1}: 0.8, 0.96, 0.992 for h/n = 0.8."""
    sign = 1.0 if message == "delta" else -1.0
    adversary, models, answers = Adversary(FreeRider(mode="delta")), [np.zeros(3)], []
    for number in range(3):
        honest = np.ones((8, 3))
        previous = models[-2] if number else None
        known = {"weights": models[-1], "previous_weights": previous, "message": message, "server_rate": rate}
        answers.append(Mean()(np.vstack([play(adversary, honest, round=number, **known), honest])))
        models.append(models[-1] + sign * rate * answers[-1])
    np.testing.assert_allclose([answer[0] for answer in answers], [0.8, 0.96, 0.992])


def test_sending_nothing_shortens_the_step() -> None:
    honest = updates(8)
    rows = np.vstack([FreeRider(mode="zero")(honest, f=2), honest])
    np.testing.assert_allclose(Mean()(rows), 0.8 * honest.mean(axis=0))


def test_noise_on_the_last_step_has_its_spread() -> None:
    step = np.random.default_rng(0).normal(4.0, 0.3, size=20_000)
    rows = FreeRider(mode="noisy_delta", scale=2.0)(
        np.zeros((4, 20_000)), f=2, history=[np.zeros(20_000), step], message="delta"
    )
    np.testing.assert_allclose((rows - step).std(axis=1), 2.0 * step.std(), rtol=0.03)
    assert abs(cosine(*(rows - step))) < 0.03


def test_disguised_free_riders_send_noise_that_fades_like_training() -> None:
    adversary, d = Adversary(FreeRider(mode="disguised")), 20_000
    first = np.where(np.arange(d) % 2, 0.03, -0.01)  # mean magnitude 0.02
    models = [np.zeros(d), first, 9 * first, 9 * first + 1.0]
    stds = []
    for number, weights in enumerate(models):
        previous = models[number - 1] if number else None
        rows = play(adversary, np.zeros((4, d)), round=number, weights=weights, previous_weights=previous)
        stds.append(rows.std(axis=1))
    assert not stds[0].any()
    np.testing.assert_allclose(stds[1], 0.02, rtol=0.03)
    np.testing.assert_allclose(stds[3], 0.0066667, rtol=0.03)


@pytest.mark.parametrize(("noise", "ranks"), [("none", 0), ("shift", 1), ("entries", 2), ("normal", 2)])
def test_lazy_clients_work_once(noise: Any, ranks: int) -> None:
    """In public code the round was never counted, so that they worked for ever."""
    adversary = Adversary(FreeRider(mode="stale", noise=noise, scale=0.1, start_round=1))
    rounds = [updates(2, 300, seed) for seed in range(4)]
    sent = [
        play(adversary, updates(4, 300), round=number, own=own, ids=("a", "b")[:: 1 if number < 3 else -1])
        for number, own in enumerate(rounds)
    ]
    np.testing.assert_array_equal(sent[0], rounds[0])
    np.testing.assert_array_equal(sent[1], rounds[1])
    added = [sent[2] - rounds[1], sent[3] - rounds[1][::-1]]  # who sent it counts, not the row
    assert np.linalg.matrix_rank(np.vstack([added[0], np.ones(300)]), tol=1e-6) == 1 + (ranks if ranks > 1 else 0)
    assert (ranks == 0) == (not np.any(added))
    if noise != "normal":
        assert np.abs(added).max() <= 0.1
    assert ranks == 0 or np.abs(added[0] - added[1]).max() > 1e-3


def test_free_riders_know_what_their_trick_takes() -> None:
    wanted = {
        "random": Knowledge.NOTHING,
        "zero": Knowledge.NOTHING,
        "delta": Knowledge.HISTORY,
        "noisy_delta": Knowledge.HISTORY,
        "disguised": Knowledge.HISTORY,
        "stale": Knowledge.OWN,
    }
    found = {mode: FreeRider(mode=mode).required_knowledge() for mode in wanted}  # type: ignore[arg-type]
    assert found == wanted


# -- ascent


def test_ascent_is_a_flipped_sign_for_one_step_and_not_for_more() -> None:
    def weights(attack: Any, **values: Any) -> torch.Tensor:
        sim = simulation(attack=attack, f=2, rounds=1, **values)
        sim.play(0)
        return weights_of(sim)

    assert torch.allclose(weights(GradientAscent()), weights(SignFlip()), atol=1e-6)
    local = {"algorithm": "fedavg", "local_steps": 8, "local_learning_rate": 0.5}
    uphill, flipped = weights(GradientAscent(), **local), weights(SignFlip(), **local)
    assert float((uphill - flipped).norm()) > 0.05 * float(flipped.norm())


# -- one coordinate


def hidden(rule: Any, d: int, coordinate: Any = "last", h: int = 14, f: int = 5) -> Matrix:
    """How far a rule's answer is moved away from the honest mean, with unit spread in every coordinate."""
    honest = np.random.default_rng(0).normal(size=(h, d))
    crafted = OneCoordinate(coordinate=coordinate)(honest, f=f, aggregate=rule)
    return np.asarray(rule(np.vstack([crafted, honest])) - honest.mean(axis=0))


def test_distances_leave_room_for_one_large_coordinate() -> None:
    """Krum tolerates some sqrt(d) times the spread of a coordinate, the median no more than the spread."""
    few, many = hidden(Krum(f=5), 25), hidden(Krum(f=5), 400)
    assert np.abs(np.delete(many, -1)).max() < 1e-6
    assert 3.0 < np.abs(few).max() < 7.0
    assert 3.0 < np.abs(many).max() / np.abs(few).max() < 5.0
    assert np.abs(hidden(Median(), 400)[-1]) < 1.5


def test_one_coordinate_finds_the_place_it_is_told() -> None:
    assert int(np.argmax(hidden(Krum(f=5), 100, 17))) == 17
    moved = hidden(Krum(f=5), 100, "all")
    np.testing.assert_allclose(moved, moved[0])
    assert moved[0] > 0.3
    with pytest.raises(AttackError, match=r"below d = 5\. Found 5"):
        OneCoordinate(coordinate=5)(updates(), f=1, aggregate=Median())


# -- against norm filters


@settings(max_examples=40, deadline=None)
@given(
    h=st.integers(3, 12),
    f=st.integers(1, 6),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_norm_filters_keep_every_update_that_is_just_short_enough(
    h: int, f: int, seed: int, dtype: torch.dtype
) -> None:
    f = min(f, h - 1)
    honest = torch.as_tensor(updates(h, 6, seed)).to(dtype)
    crafted = AntiCGE()(honest, f=f)
    lengths = honest.double().norm(dim=1).sort().values
    assert bool((crafted.double().norm(dim=1) < lengths[h - f]).all())
    assert float(crafted[0].double().norm() / lengths[h - f]) > 1 - 40 * torch.finfo(dtype).eps - 2e-12
    weights = CGE(f=f).aggregate(torch.cat([crafted, honest])).weights
    assert weights is not None
    assert (weights[:f] > 0).all()
    kept = honest.double()[weights[f:] > 0].sum(dim=0)
    assert cosine(crafted[0].double().numpy(), kept.numpy()) == pytest.approx(-1.0, abs=0.01)


def test_norm_filters_that_expect_nobody_or_everybody_are_met() -> None:
    honest = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    for declared, length in ((0, 4.0), (2, 2.0), (3, 1.0), (7, 1.0)):
        row = play(Adversary(AntiCGE()), honest, declared_f=declared)[0]
        assert np.linalg.norm(row) == pytest.approx(length)
        assert row[0] < 0
    assert not AntiCGE()(np.zeros((3, 2)), f=1).any()


# -- against filters of signs


def crowd(d: int = 400, h: int = 12, seed: int = 0) -> Matrix:
    """Honest updates with 70 % positive values, a tenth of them certain to be zero."""
    rng = np.random.default_rng(seed)
    part = np.where(np.arange(d) % 10 < 7, 1.0, -1.0) * (np.arange(d) % 10 != 3)
    return np.asarray(part * (1.0 + 0.3 * rng.normal(size=(h, d))))


@pytest.mark.parametrize("mode", ["permuted", "alie", "min_max"])
def test_sign_statistics_pass_the_filter_that_a_flipped_sign_does_not(mode: Any) -> None:
    honest, rule = crowd(), SignGuard(share=1.0)
    for attack, passes in ((SignStatistics(mode=mode), True), (SignFlip(mode="mean"), False)):
        weights = rule.aggregate(np.vstack([attack(honest, f=3), honest])).weights
        assert weights is not None
        assert (weights[:3] > 0).all() == passes


def test_permuted_updates_have_the_counts_and_the_length_of_honest_ones() -> None:
    honest = crowd()
    rows = SignStatistics()(honest, f=2)
    mean = honest.mean(axis=0)
    for sign in (-1, 0, 1):
        assert (np.sign(rows) == sign).sum(axis=1).tolist() == [(np.sign(mean) == sign).sum()] * 2
    assert np.linalg.norm(rows[0]) == pytest.approx(np.median(np.linalg.norm(honest, axis=1)))
    magnitudes = np.abs(rows[0])[rows[0] != 0]
    assert np.quantile(magnitudes / magnitudes.max(), [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.06)
    assert abs(cosine(rows[0], mean)) < 0.5


def test_what_was_drawn_for_the_signs_stays() -> None:
    adversary = Adversary(SignStatistics())
    rounds = [play(adversary, crowd(seed=seed), rng=np.random.default_rng(seed))[0] for seed in range(3)]
    assert cosine(rounds[0], rounds[1]) > 0.99
    assert cosine(rounds[0], rounds[2]) > 0.99


def test_any_half_of_the_coordinates_may_be_reversed() -> None:
    """Public code draws the coordinates from the first half only."""
    honest = updates(6, 20)
    z = 1.5 * honest.std(axis=0)
    reversed_ = np.zeros(20)
    for seed in range(200):
        shift = (SignStatistics(mode="alie")(honest, f=1, rng=seed)[0] - honest.mean(axis=0)) / z
        np.testing.assert_allclose(np.abs(shift), 1.0)
        assert (shift < 0).sum() == 10
        reversed_ += shift < 0
    assert reversed_.min() > 65
    assert reversed_.max() < 135


# -- against clusters of directions


def two_clusters(rows: Matrix) -> Matrix:
    """Which rows are in the larger of two clusters by single linkage of cosine distances."""
    labels = fcluster(linkage(pdist(rows, "cosine"), "single"), 2, "maxclust")
    return np.asarray(labels == np.bincount(labels).argmax())


def flame(rows: Matrix) -> Matrix:
    """Which rows FLAME keeps."""
    weights = FLAME(noise=0.0).aggregate(rows).weights
    assert weights is not None
    return np.asarray(weights > 0)


@pytest.mark.parametrize(("clusters", "rule"), [("two", two_clusters), ("majority", flame)])
def test_clusters_take_in_a_chain_of_neighbours(clusters: Any, rule: Callable[[Matrix], Matrix]) -> None:
    for seed in range(5):
        honest = updates(12, 40, seed)
        rows = Geodesic(clusters=clusters)(honest, f=4, rng=seed)
        kept = rule(np.vstack([rows, honest]))
        assert kept[:4].all()
        assert not kept[4:].all(), "an honest update goes instead"
        assert not rule(np.vstack([SignFlip(mode="mean")(honest, f=4), honest]))[:4].any()


def test_the_chain_moves_on_by_equal_angles_and_stops_opposite_the_mean() -> None:
    honest = updates(8, 30)
    mean = honest.mean(axis=0)
    rows = Geodesic(stretch=2.0)(honest, f=40)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 2 * np.median(np.linalg.norm(honest, axis=1)))
    angles = np.arccos(np.clip([cosine(row, mean) for row in rows], -1, 1))
    steps = np.diff(angles[angles < 3.14])
    np.testing.assert_allclose(steps, steps[0], atol=1e-6)
    assert steps[0] > 0.01
    assert cosine(rows[-1], mean) == pytest.approx(-1.0)
    assert np.linalg.matrix_rank(rows, tol=1e-6) == 2  # all on one great circle


def test_a_chain_can_start_anywhere_when_nobody_is_off_the_mean() -> None:
    for honest in (np.ones((1, 6)), np.ones((5, 6))):
        assert cosine(Geodesic()(honest, f=2)[0], np.ones(6)) == pytest.approx(1.0)
    assert not Geodesic()(np.zeros((4, 6)), f=2).any()


# -- against trust


def test_trust_is_used_up_by_an_angle_that_still_has_some() -> None:
    honest = updates(12, 50)
    mean = honest.mean(axis=0)
    root = mean + 0.05 * np.random.default_rng(1).normal(size=50)
    asked = []

    def rule(rows: Any) -> Any:
        asked.append(rows)
        return FLTrust()(np.asarray(rows), trusted=root)

    rows = TrustCosine()(honest, f=5, aggregate=lambda rows: torch.as_tensor(rule(rows)), message="delta")
    assert len(asked) == 17
    assert np.linalg.norm(rows[0]) == pytest.approx(np.linalg.norm(mean))
    assert 0.1 < cosine(rows[0], root) < 0.95
    away = np.ones(50) - (np.ones(50) @ mean) / (mean @ mean) * mean
    moved = rule(np.vstack([rows, honest])) @ away
    angles = np.linspace(0.01, 1.56, 60)
    unit, side = mean / np.linalg.norm(mean), away / np.linalg.norm(away)
    best = max(rule(np.vstack([[np.cos(t) * unit + np.sin(t) * side] * 5, honest])) @ away for t in angles)
    assert moved > 0.97 * best
    assert moved > 3 * abs(rule(honest) @ away)


def test_nowhere_to_turn_without_a_direction_of_its_own() -> None:
    np.testing.assert_allclose(TrustCosine()(np.ones((4, 3)), f=2, aggregate=Mean()), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda: Constant(value=float("inf")), r"should be finite\. Found inf\. NonFinite sends"),
        (lambda: Gaussian(scale="own"), r"'own' is for mode additive\. Found mode='pure'"),
        (lambda: Scaling(factor=0.0), "factor > 0"),
        (lambda: Geodesic(step=1.5), "step <= 1"),
        (lambda: FreeRider(decay=-1.0), "decay >= 0"),
        (lambda: OneCoordinate(coordinate=-1), "coordinate >= 0"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], Any], found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        build()
