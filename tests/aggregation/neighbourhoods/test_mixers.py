"""Every registered rule for peers: its formula, test vectors, and what holds for all of them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation.kernels.threads import limit_threads
from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixer, Occasion
from robustfl.defenses import (
    GTS,
    IOS,
    NNA,
    UBAR,
    Balance,
    Bridge,
    ClippedGossip,
    CSHe,
    CSPlus,
    Gossip,
    LocalFoolsGold,
    PeerMeritRank,
    VarianceCorrected,
)
from robustfl.errors import ParameterError
from tests.aggregation.neighbourhoods.mixer_rules import MIXERS, OCCASION, Case
from tests.aggregation.neighbourhoods.networks import assert_as_expected, random_network

each_mixer = pytest.mark.parametrize("case", MIXERS, ids=lambda case: case.name)


def test_every_registered_rule_for_peers_is_in_the_table() -> None:
    registered = {name for name, cls in registry.find("defense").items() if issubclass(cls, Mixer)}
    assert registered == {case.rule.name for case in MIXERS}


# ---------------------------------------------------------------------------------------------------- formulas


@each_mixer
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_a_rule_agrees_with_its_oracle_in_every_neighbourhood(case: Case, dtype: Any) -> None:
    for seed, b in ((0, 1), (1, 2), (2, 0)):
        network = random_network(seed, dtype=dtype, b=b)
        mixed = case.rule.preview(network.letters, network.hoods, OCCASION)
        for line in range(network.hoods.n):
            own, letters, w, _ = network.heard(line)
            if line in mixed.info["kept"]:
                assert len(letters) == 0
                np.testing.assert_array_equal(mixed.models[line], own)
                continue
            told = int(mixed.info["bounds"][line])
            expected = case.oracle(own.astype(np.float64), letters.astype(np.float64), w, told)
            assert_as_expected(mixed, network, line, expected, 3e-6 if dtype == np.float32 else 1e-9)


@each_mixer
def test_the_weights_that_are_told_make_the_models(case: Case) -> None:
    network = random_network(3, dtype=np.float64)
    mixed = case.rule.preview(network.letters, network.hoods, OCCASION)
    if mixed.weights is None:
        assert case.name == "bridge"
        return
    assert not mixed.weights[~network.sound].any()
    if case.name not in (
        "variance_corrected",
        "bristle",
        "bristle_shortened",
    ):  # models of these are no sums with one share a letter
        rows = np.nan_to_num(network.letters.rows[network.hoods.index], posinf=0.0, neginf=0.0)
        rows[~network.sound] = 0.0
        np.testing.assert_allclose(np.einsum("nm,nmd->nd", mixed.weights, rows), mixed.models, atol=1e-9)


FIVE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]])


@pytest.mark.parametrize(
    ("rule", "b", "expected"),
    [
        (GTS(), 1, [0.4, 0.4]),
        (GTS(), 2, [0.2, 0.2]),
        (NNA(), 1, [0.5, 0.5]),
        (NNA(), 2, [1 / 3, 1 / 3]),
        (CSPlus(), 1, [0.482843, 0.482843]),
        (CSPlus(), 2, [0.0, 0.0]),
        (CSHe(), 1, [0.6, 0.6]),
        (CSHe(), 2, [0.341421, 0.341421]),
        (IOS(), 1, [0.5, 0.5]),
        (IOS(), 2, [1 / 3, 2 / 3]),
        (Bridge(), 1, [2 / 3, 2 / 3]),
        (Bridge(), 2, [1.0, 1.0]),
        (ClippedGossip(tau=1.0), 1, [0.482843, 0.482843]),
        (ClippedGossip(tau=2.0), 1, [0.682843, 0.682843]),
        (PeerMeritRank(), 1, [1.6 / 3, 1.6 / 3]),  # three letters that all survive at each other, and at the own model
        *((rule, 0, [2.4, 2.4]) for rule in (GTS(), NNA(), CSPlus(), CSHe())),
    ],
    ids=lambda value: str(value) if isinstance(value, Mixer) else f"b{value}" if isinstance(value, int) else "",
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_five_letters_of_equal_weight(rule: Mixer, b: int, expected: list[float], dtype: Any) -> None:
    around = Hoods([[0, 1, 2, 3, 4]], np.full((1, 5), 0.2), [b])
    np.testing.assert_allclose(rule.mix(Letters(FIVE.astype(dtype)), around).models[0], expected, atol=1e-6)


def test_a_part_of_the_last_weight_is_kept_by_gts() -> None:
    weights = np.array([[0.1, 0.3, 0.3, 0.2, 0.1]])  # b=1 may weigh 0.3, and the farthest one weighs 0.1
    models = GTS().mix(Letters(FIVE), Hoods([[0, 1, 2, 3, 4]], weights, [1])).models
    np.testing.assert_allclose(models[0], 0.3 * FIVE[1] + 0.3 * FIVE[2], atol=1e-12)
    weights = np.array([[0.1, 0.2, 0.2, 0.3, 0.2]])
    models = GTS().mix(Letters(FIVE), Hoods([[0, 1, 2, 3, 4]], weights, [1])).models
    np.testing.assert_allclose(models[0], 0.2 * FIVE[1] + 0.2 * FIVE[2] + 0.2 * FIVE[3], atol=1e-12)


@pytest.mark.parametrize("b", [0, 1, 2, 3])
def test_gts_is_nna_with_steps_that_are_longer_by_the_weight_that_it_gives_up(b: int) -> None:
    around = Hoods([[0, 1, 2, 3, 4]], np.full((1, 5), 0.2), [b])
    gts, nna = (rule.mix(Letters(FIVE), around).models[0] for rule in (GTS(), NNA()))
    np.testing.assert_allclose(FIVE[0] + (gts - FIVE[0]) / (1.0 - 0.2 * b), nna, atol=1e-12)
    assert b == 0 or np.linalg.norm(gts) < np.linalg.norm(nna)


THREE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])


def test_an_echo_displaces_the_farthest_honest_letter_of_nna() -> None:
    clean = NNA().mix(Letters(THREE), Hoods([[0, 1, 2]], np.full((1, 3), 1 / 3), [1]))
    np.testing.assert_allclose(clean.models[0], [0.5, 0.0])
    echoed = NNA().mix(Letters.of(THREE, [THREE[0]]), Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [1]))
    np.testing.assert_allclose(echoed.models[0], [1 / 3, 0.0])


def test_a_letter_just_inside_the_honest_distance_moves_nna_and_not_ios() -> None:
    edge = Letters.of(THREE, [np.array([-0.885483, -1.770966])])
    around = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [1])
    np.testing.assert_allclose(NNA().mix(edge, around).models[0], [0.038172, -0.590322], atol=1e-6)
    np.testing.assert_allclose(IOS().mix(edge, around).models[0], [1 / 3, 2 / 3], atol=1e-6)


def test_variances_of_two_models_are_kept() -> None:
    models = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 2.0]])
    mixed = VarianceCorrected().mix(Letters(models), Hoods([[0, 1]], np.full((1, 2), 0.5), [0])).models[0]
    np.testing.assert_allclose(mixed, [2.056742, 2.056742, 2.056742, 4.329773], atol=1e-6)
    assert mixed.var() == pytest.approx(0.96875)


def test_the_average_of_ten_first_models_has_a_tenth_of_their_variance_unless_it_is_corrected() -> None:
    models = 0.1 * np.random.default_rng(0).standard_normal((10, 1000))
    around = Hoods([list(range(10))], np.full((1, 10), 0.1), [0])
    plain, corrected = (rule.mix(Letters(models), around).models[0].var() for rule in (Gossip(), VarianceCorrected()))
    assert plain / 0.01 == pytest.approx(0.1, abs=0.015)
    assert corrected == pytest.approx(models.var(axis=1).mean())


def test_a_huge_variance_does_not_decide_the_median_of_variances() -> None:
    models = np.array([[1.0, -1.0], [-1.0, 1.5], [1e6, -1e6]])
    around = Hoods([[0, 1, 2]], np.array([[0.5, 0.4, 0.1]]), [1])
    assert np.ptp(VarianceCorrected(spread="median").mix(Letters(models), around).models[0]) < 3.0
    assert np.ptp(VarianceCorrected().mix(Letters(models), around).models[0]) > 1e5


# ---------------------------------------------------------------------------------------------------- properties


@each_mixer
def test_equal_letters_are_their_own_mixture_to_the_last_bit(case: Case) -> None:
    network = random_network(4, hostile=False)
    row = np.random.default_rng(0).standard_normal(network.letters.d).astype(np.float32)
    same = Letters(np.tile(row, (len(network.letters), 1)))
    models = case.rule.preview(same, network.hoods, OCCASION).models
    if case.name == "variance_corrected":
        np.testing.assert_allclose(models, same.rows[: len(models)], atol=1e-6)
    else:
        np.testing.assert_array_equal(models, same.rows[: len(models)])


@each_mixer
def test_neither_the_order_of_slots_nor_threads_nor_a_target_in_place_change_a_bit(case: Case) -> None:
    network = random_network(5, d=9000)
    occasion = replace(OCCASION, layers=(30, 8970))
    expected = case.rule.preview(network.letters, network.hoods, occasion).models
    order = np.concatenate([[0], 1 + np.random.default_rng(1).permutation(network.hoods.m - 1)])
    hoods = network.hoods
    turned = Hoods(
        hoods.index[:, order], hoods.weights[:, order], hoods.bounds, hoods.senders[:, order], hoods.strangers[:, order]
    )
    np.testing.assert_array_equal(case.rule.preview(network.letters, turned, occasion).models, expected)
    with limit_threads(3):
        np.testing.assert_array_equal(case.rule.preview(network.letters, hoods, occasion).models, expected)
    inside = Letters(network.letters.rows.copy(), network.letters.faults)
    mixed = replace(case.rule).mix(inside, hoods, occasion, out=inside.rows)
    assert np.shares_memory(mixed.models, inside.rows)
    np.testing.assert_array_equal(mixed.models, expected)
    np.testing.assert_array_equal(inside.rows[hoods.n :], network.letters.rows[hoods.n :])


@each_mixer
def test_who_else_takes_part_does_not_change_a_bit(case: Case) -> None:
    network = random_network(6, d=9000)
    occasion = replace(OCCASION, layers=(30, 8970))
    together = case.rule.preview(network.letters, network.hoods, occasion).models
    for line in (0, 8):
        alone = case.rule.preview(network.letters, network.hoods.of([line]), occasion).models
        np.testing.assert_array_equal(alone[0], together[line])


@each_mixer
def test_one_letter_of_any_length_moves_its_receiver_a_bounded_way(case: Case) -> None:
    rng = np.random.default_rng(7)
    models = rng.standard_normal((6, 40))
    direction = rng.standard_normal(40)
    around = Hoods([[0, 1, 2, 3, 4, 5, 6]], np.full((1, 7), 1 / 7), [1])
    reached = []
    for length in (1e3, 1e6, 1e12):
        letters = Letters.of(models, [direction * length])
        occasion = replace(OCCASION, layers=None)
        reached.append(float(np.linalg.norm(case.rule.preview(letters, around, occasion).models[0])))
    assert (max(reached) < 20.0) == case.bounded


# ---------------------------------------------------------------------------------------------------- single rules


def test_ubar_refuses_an_echo_and_needs_losses() -> None:
    models = Letters(np.array([[1.0], [1.0], [0.5]]))
    around = Hoods([[0, 1, 2]], np.full((1, 3), 1 / 3), [0])
    assert UBAR().mix(models, around, Occasion(losses=lambda _, x: x[:, 0])).models.tolist() == [[0.75]]
    with pytest.raises(ParameterError, match=r"Say what their losses are: `Occasion\(losses=...\)`"):
        UBAR().mix(models, around)


def test_ubar_takes_the_best_of_those_that_are_worse_and_none_whose_loss_is_nan() -> None:
    models = Letters(np.array([[0.0], [1.0], [2.0], [3.0]]))
    around = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [0])
    worse = Occasion(losses=lambda _, x: np.where(x[:, 0] == 1.0, np.nan, x[:, 0]))
    assert UBAR().mix(models, around, worse).models.tolist() == [[1.0]]


def test_balance_becomes_stricter_and_tells_of_lonely_peers() -> None:
    models = Letters(np.array([[1.0, 0.0], [1.0, 0.9]]))
    around, rule = Hoods([[0, 1]], np.full((1, 2), 0.5), [0]), Balance()
    assert rule.mix(models, around, Occasion(number=0, rounds=100)).models.tolist() == [[1.0, 0.45]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(50, 59):
            assert rule.mix(models, around, Occasion(number=number, rounds=100)).models.tolist() == [[1.0, 0.0]]
    with pytest.warns(UserWarning, match="1 peers accepted nobody in 10 rounds"):
        rule.mix(models, around, Occasion(number=59, rounds=100))
    assert rule.state_of(0) == {"lonely": 10}


def test_local_fools_gold_finds_sybils_by_the_differences_of_their_letters() -> None:
    rng = np.random.default_rng(8)
    models, drift = 5.0 + 0.01 * rng.standard_normal((5, 30)), rng.standard_normal(30)
    around = Hoods([[0, 1, 2, 3, 4]], np.full((1, 5), 0.2), [2])
    rule = LocalFoolsGold(history="differences")
    mixed = rule.mix(Letters(models), around)
    np.testing.assert_allclose(mixed.weights, [[0.2, 0.2, 0.2, 0.2, 0.2]])
    for _ in range(4):
        models[1:3] += 0.01 * rng.standard_normal((2, 30))
        models[3:] += 0.01 * drift
        mixed = rule.mix(Letters(models), around)
    np.testing.assert_allclose(mixed.weights, [[1 / 3, 1 / 3, 1 / 3, 0.0, 0.0]], atol=0.05)


def test_a_memory_continues_from_a_stored_state_and_receivers_share_the_vectors_of_one_letter() -> None:
    rng = np.random.default_rng(9)
    hoods = Hoods([[0, 1, 2], [1, 0, 2], [2, 0, 1]], np.full((3, 3), 1 / 3), [1, 1, 1])
    rule, rounds = LocalFoolsGold(history="differences"), [rng.standard_normal((3, 8)) for _ in range(3)]
    for models in rounds[:2]:
        rule.mix(Letters(models), hoods)
    other = LocalFoolsGold(history="differences")
    other.load_state_dict(rule.state_dict())
    before = rule.preview(Letters(rounds[2]), hoods).models
    np.testing.assert_array_equal(before, rule.mix(Letters(rounds[2]), hoods).models)
    np.testing.assert_array_equal(before, other.mix(Letters(rounds[2]), hoods).models)
    histories = rule.state_dict()["histories"]
    assert histories[0][2] is histories[1][2]
    rule.reset()
    assert rule.state_dict() == {}
