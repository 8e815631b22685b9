"""What attacks keep between the rounds: the directions of `pairs`, and the target of Mimic."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.attacks import IPM, Mimic
from robustfl.errors import ParameterError
from robustfl.threats import Adversary, Facts
from tests.attacks.table import Matrix, updates


def play(
    adversary: Adversary, honest: Matrix, f: int, number: int = 0, ids: tuple[Hashable, ...] | None = None
) -> Matrix:
    """One round of an adversary with memory."""
    facts = Facts(
        round=number,
        f=f,
        declared_f=f,
        honest=torch.as_tensor(honest),
        honest_ids=ids or tuple(range(len(honest))),
        own=lambda: torch.zeros(f, honest.shape[1]),
        rng=np.random.default_rng(number),
    )
    result: Matrix = adversary.craft(facts).numpy()
    return result


def directions(rows: Matrix, honest: Matrix, epsilon: float = 0.5) -> Matrix:
    """The unit directions that an IPM with pairs added to its vector."""
    vector = -epsilon * honest.mean(axis=0)
    return np.asarray((rows - vector) / np.linalg.norm(vector))


@settings(max_examples=30, deadline=None)
@given(half=st.integers(1, 5), d=st.integers(5, 12), seed=st.integers(0, 100))
def test_pairs_cancel_in_the_mean_and_are_orthogonal(half: int, d: int, seed: int) -> None:
    honest = updates(6, d, seed)
    rows = IPM(diversify="pairs")(honest, f=2 * half, rng=seed)
    np.testing.assert_allclose(rows.mean(axis=0), -0.5 * honest.mean(axis=0), atol=1e-6)
    q = directions(rows, honest)
    np.testing.assert_allclose(q[:half] @ q[:half].T, np.eye(half), atol=1e-6)
    np.testing.assert_allclose(q[half:], -q[:half], atol=1e-9)


def test_pairs_have_the_cosines_of_the_formula() -> None:
    """0 within a pair; across pairs 1/2 up to the small cosines between a direction and the vector itself."""
    rows = IPM(diversify="pairs")(updates(6, 20_000), f=6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.testing.assert_allclose(np.diag(cosines[:3, 3:]), 0.0, atol=0.03)
    np.testing.assert_allclose(cosines[0, [1, 2, 4, 5]], 0.5, atol=0.03)


def test_pairs_stay_for_the_whole_trial() -> None:
    adversary = Adversary(IPM(diversify="pairs"))
    first = directions(play(adversary, updates(seed=1), 4, 0), updates(seed=1))
    for number in range(1, 4):
        honest = updates(seed=number + 1)
        np.testing.assert_allclose(directions(play(adversary, honest, 4, number), honest), first, atol=1e-9)


def test_pairs_of_a_round_with_more_attackers_extend_the_earlier_ones() -> None:
    adversary, honest = Adversary(IPM(diversify="pairs")), updates(7, 6)
    few = directions(play(adversary, honest, 3, 0), honest)
    many = directions(play(adversary, honest, 9, 1), honest)
    np.testing.assert_allclose(many[:3], few, atol=1e-9)
    np.testing.assert_allclose(many[3], -few[1], atol=1e-9)  # a newcomer joins the one that had no partner
    different = many[[0, 1, 4, 5, 6]]
    np.testing.assert_allclose(different @ different.T, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(many[[7, 8]], -many[[4, 5]], atol=1e-9)
    np.testing.assert_allclose(directions(play(adversary, honest, 3, 2), honest), few, atol=1e-9)


def test_a_new_trial_has_new_pairs() -> None:
    honest = updates()
    first, second = (IPM(diversify="pairs")(honest, f=2, rng=seed) for seed in (0, 1))
    assert np.abs(first - second).max() > 1e-3


def test_pairs_need_room_for_orthogonal_directions() -> None:
    assert IPM(diversify="pairs")(updates(5, 2), f=4).shape == (4, 2)
    with pytest.raises(ParameterError, match=r"f/2 <= d\. Found f=5, d=2"):
        IPM(diversify="pairs")(updates(5, 2), f=5)


def test_jitter_is_small_fresh_and_different_for_everybody() -> None:
    adversary, honest = Adversary(IPM(diversify="jitter")), updates(6, 40)
    rounds = [directions(play(adversary, honest, 4, number), honest) for number in range(2)]
    lengths = np.linalg.norm(np.concatenate(rounds), axis=1)
    assert lengths.max() <= 0.01 + 1e-9
    assert lengths.min() > 0.005  # nearly all of a ball in 40 dimensions lies close to its surface
    cosines = np.corrcoef(np.concatenate(rounds))
    assert np.abs(cosines - np.eye(8)).max() < 0.7


def test_tiled_rows_are_equal() -> None:
    rows = IPM()(updates(), f=3)
    assert (rows == rows[0]).all()


def planted(seed: int, client: int = 4) -> Matrix:
    """Eight clients that differ by little but in one direction, in which `client` lies farthest out."""
    rng = np.random.default_rng(seed)
    honest = 0.01 * rng.normal(size=(8, 6))
    honest[:, 2] += np.where(np.arange(8) % 2, 1.0, -1.0)
    honest[client, 2] *= 3.0
    return honest


def test_mimic_copies_a_client_that_stands_out_in_the_planted_direction() -> None:
    for seed in range(10):
        honest = planted(seed)
        rows = Mimic()(honest, f=3, rng=seed)
        assert (rows == rows[0]).all()
        copied = int(np.flatnonzero((honest == rows[0]).all(axis=1))[0])
        odd = np.flatnonzero(np.arange(8) % 2)
        # The sign of the direction is chance: the outlier itself on one side, a client of the other group else.
        assert copied == 4 or copied in odd


def test_mimic_finds_the_direction_of_largest_variance() -> None:
    adversary = Adversary(Mimic())
    for number in range(10):
        play(adversary, planted(number), 2, number)
    assert abs(float(adversary.memory["direction"][2])) > 0.99
    assert float(adversary.memory["direction"].norm()) == pytest.approx(1.0)


def test_mimic_stays_with_its_target_after_the_warm_up() -> None:
    adversary = Adversary(Mimic(warmup=3))
    for number in range(3):
        play(adversary, planted(number), 2, number)
    target = adversary.memory["target"]
    for number in range(3, 8):
        honest = planted(number, client=(4 + number) % 8)
        np.testing.assert_array_equal(play(adversary, honest, 2, number), honest[[target, target]])
        assert adversary.memory["target"] == target


def test_mimic_follows_ids_not_rows_and_makes_do_without_its_target() -> None:
    adversary, ids = Adversary(Mimic(warmup=1)), tuple("abcdefgh")
    play(adversary, planted(0), 2, 0, ids)
    target = adversary.memory["target"]
    honest = planted(1)
    turned = ids[::-1]
    np.testing.assert_array_equal(play(adversary, honest, 1, 1, turned)[0], honest[turned.index(target)])
    rest = tuple(name for name in ids if name != target)
    replacement = play(adversary, honest[:7], 1, 2, rest)[0]
    scores = honest[:7] @ adversary.memory["direction"].numpy()
    np.testing.assert_array_equal(replacement, honest[int(scores.argmax())])
    assert adversary.memory["target"] == target


def test_mimic_never_copies_a_row_that_is_not_finite() -> None:
    adversary = Adversary(Mimic(warmup=1))
    play(adversary, planted(0), 1, 0)
    target = adversary.memory["target"]
    for payload in (np.nan, np.inf, -np.inf):
        honest = planted(1)
        honest[target] = payload
        assert np.isfinite(play(adversary, honest, 1, 1)).all()


def test_mimic_recovers_from_a_first_round_without_information() -> None:
    for nothing in (np.full((8, 6), np.nan), np.ones((8, 6))):
        adversary = Adversary(Mimic())
        assert np.isfinite(play(adversary, nothing, 2, 0)).all()
        for number in range(1, 10):
            play(adversary, planted(number), 2, number)
        assert abs(float(adversary.memory["direction"][2])) > 0.9


def test_mimic_survives_updates_whose_squares_overflow() -> None:
    honest = (planted(0) * 1e30).astype(np.float32)
    rows = Mimic()(honest, f=2, rng=3)
    assert (honest == rows[0]).all(axis=1).any()
    scaled = Mimic()(planted(0).astype(np.float32), f=2, rng=3)
    np.testing.assert_allclose(rows, scaled * np.float32(1e30), rtol=1e-5)


def test_mimic_warm_up_counts_attacked_rounds_only() -> None:
    adversary = Adversary(Mimic(warmup=2, start_round=5, every=2))
    for number in range(8):
        play(adversary, planted(number), 1, number)
    assert adversary.memory["step"] == 2
