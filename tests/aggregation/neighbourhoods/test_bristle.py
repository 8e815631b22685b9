"""Bristle: the numbers of its two stages, small neighbourhoods in closed form, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion
from robustfl.defenses import Bristle
from robustfl.defenses.peers.bristle import class_weights, recognised
from robustfl.errors import ParameterError, RobustflError

Matrix = np.ndarray[Any, Any]


def around_0(k: int) -> Hoods:
    return Hoods([list(range(k + 1))], np.full((1, k + 1), 1 / (k + 1)), [0])


def says(*answers: list[int], samples: int = 4) -> Matrix:
    """The counts of models over three classes; an answer says for what each takes samples of the first ones."""
    counts = np.zeros((len(answers), 3, 3))
    for line, answer in enumerate(answers):
        for label, named in enumerate(answer):
            counts[line, label, named] = samples
    return counts


RIGHT, SWAPPED, HALF = [0, 1], [1, 0], [0, 0]


def occasion(counts: Matrix, shared: list[int] | None = None, **values: Any) -> Occasion:
    told = None if shared is None else lambda peer, others: np.array(shared)
    return Occasion(confusions=lambda peer, models: counts, shared=told, **values)


# ---------------------------------------------------------------------------------------------------- the integrator


@pytest.mark.parametrize(
    ("own", "other", "preference"),
    [(0.5, 0.9, 3.8245), (0.8, 0.9, 1.025), (0.9, 0.8, 0.975), (0.9, 0.6, 0.0), (0.2, 1.0, 5.9957), (0.7, 0.7, 1.0)],
)
def test_a_letter_is_preferred_by_how_much_better_it_is(own: float, other: float, preference: float) -> None:
    familiar, foreign = class_weights(np.array([own]), np.array([[other]]), np.array([1]))
    assert familiar[0, 0] == pytest.approx(preference * other, abs=1e-3)  # of one class the certainty is its own score
    assert foreign[0] == familiar[0, 0]


def test_the_preference_ends_at_a_score_of_minus_40_5465() -> None:
    for score, wanted in ((-40.54, 1e-3), (-40.55, 0.0)):
        gap = (-score) ** (1 / 5)  # with an own score of 1 the exponent is 5
        familiar, _ = class_weights(np.array([1.0]), np.array([[1.0 - gap / 10]]), np.array([1]))
        assert 0.0 <= familiar[0, 0] <= wanted
        assert (familiar[0, 0] > 0) == (wanted > 0)


def test_only_the_best_of_the_shared_classes_count_for_certainty_and_for_foreign_classes() -> None:
    own, other = np.array([0.5, 0.5, 0.5]), np.array([[0.2, 0.6, 0.6]])
    familiar, foreign = class_weights(own, other, np.array([2]))
    better = 10 / (1 + np.exp(-(1.0**3.5) / 100)) - 4
    assert familiar[0].tolist() == pytest.approx([0.0, 0.6 * better, 0.6 * better])
    assert foreign[0] == pytest.approx(0.6 * (10 / (1 + np.exp(-2 / 100)) - 4))
    _, all_three = class_weights(own, other, np.array([3]))
    certainty = np.mean(other) - np.std(other)
    assert all_three[0] == pytest.approx(max(0.0, 10 / (1 + np.exp((3**4.5 - 2) / 100)) - 4) * certainty)
    assert class_weights(own, other, np.array([0]))[1].tolist() == [0.0]
    assert class_weights(own, other, np.array([99]))[1].tolist() == all_three.tolist()
    assert class_weights(own, other, None)[1].tolist() == [0.0]


def test_scores_are_f1_or_recall() -> None:
    counts = np.array([[[3.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.0]]])
    assert recognised(counts, "recall")[0].tolist() == [0.75, 0.5, 0.0]
    assert recognised(counts, "f1")[0].tolist() == pytest.approx([6 / 7, 4 / 7, 0.0])


# ---------------------------------------------------------------------------------------------------- neighbourhoods

THREE = np.array([[1.0, 1.0, 0.0], [3.0, 1.0, 8.0], [9.0, 9.0, 9.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_an_equal_neighbour_counts_as_much_as_the_own_model_and_a_wrong_one_not_at_all(dtype: Any) -> None:
    told = occasion(says(RIGHT, RIGHT, SWAPPED), [2, 2])
    mixed = Bristle().mix(Letters(THREE.astype(dtype)), around_0(2), told)
    assert mixed.models.tolist() == [[2.0, 1.0, 4.0]]
    assert mixed.weights is not None
    assert mixed.weights.tolist() == [[0.5, 0.5, 0.0]]
    assert mixed.info["tried"] == {0: [1, 2]}


def test_who_knows_nothing_learns_from_who_does() -> None:
    mixed = Bristle().mix(Letters(THREE), around_0(2), occasion(says(SWAPPED, RIGHT, SWAPPED), [2, 2]))
    share = 6 / 7  # 0 to 1 is the greatest gain, and an equally bad letter has no certainty
    gain = 10 / (1 + np.exp(-(10**3) / 100)) - 4
    assert mixed.models[0, :2].tolist() == pytest.approx([1 + gain / (1 + gain) * 2, 1.0])
    assert gain / (1 + gain) == pytest.approx(share, abs=1e-4)
    assert mixed.models[0, 2] == pytest.approx(8 * share, abs=1e-4)


def test_without_shared_classes_nothing_is_learnt_about_foreign_ones() -> None:
    counts = says(RIGHT, RIGHT, RIGHT)
    for shared, third in (([2, 2], (8 + 9) / 3), ([2, 0], 4.0), ([0, 0], 0.0), (None, 0.0)):
        mixed = Bristle().mix(Letters(THREE), around_0(2), occasion(counts, shared))
        assert mixed.models[0, 2] == pytest.approx(third)
        assert mixed.info["foreign"] == (shared is not None)


def test_a_neighbour_that_knows_one_of_two_classes_is_no_liar_if_it_says_so() -> None:
    counts = says(RIGHT, HALF)
    assert recognised(counts, "recall")[1, :2].tolist() == [1.0, 0.0]
    honest, silent = (
        Bristle(metric="recall").mix(Letters(THREE[:2]), around_0(1), occasion(counts, [q])).models[0] for q in (1, 2)
    )
    assert honest.tolist() == [2.0, 1.0, 4.0]
    assert silent.tolist() == [1.0, 1.0, 0.0], "taken for somebody who knows both, it is not believed at all"


def test_classes_are_parts_of_every_layer() -> None:
    own, letter = np.zeros(9), np.arange(1.0, 10.0)  # weights [3, 2], and a bias for each class
    told = occasion(says(RIGHT, RIGHT), None, layers=(6, 3))
    models = Bristle().mix(Letters(np.stack([own, letter])), around_0(1), told).models
    assert models.tolist() == [[0.5, 1.0, 1.5, 2.0, 0.0, 0.0, 3.5, 4.0, 0.0]]


def test_a_peer_without_samples_keeps_its_model() -> None:
    told = occasion(np.zeros((3, 3, 3)), [2, 2])
    assert Bristle().mix(Letters(THREE), around_0(2), told).models.tolist() == [THREE[0].tolist()]


def test_a_letter_of_any_length_has_the_weight_of_what_it_recognises() -> None:
    letters = Letters(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1e6]]))
    assert Bristle().mix(letters, around_0(1), occasion(says(RIGHT, RIGHT), [2])).models[0, 2] == 5e5


def test_long_letters_can_be_shortened_to_lengths_of_the_own_model() -> None:
    told = occasion(says(RIGHT, RIGHT, RIGHT), [2, 2])
    letters = Letters(np.array([[3.0, 4.0, 0.0], [6.0, 8.0, 0.0], [0.0, 0.0, 1e9]]))
    for longest, expected in ((1.0, [2.0, 8 / 3, 5 / 3]), (2.0, [3.0, 4.0, 10 / 3]), (None, [3.0, 4.0, 1e9 / 3])):
        models = Bristle(longest=longest).mix(letters, around_0(2), told).models
        np.testing.assert_allclose(models, [expected], rtol=1e-12)
    silent = Letters(np.array([[0.0, 0.0, 0.0], [6.0, 8.0, 0.0], [0.0, 0.0, 1.0]]))
    assert Bristle(longest=1.0).mix(silent, around_0(2), told).models.tolist() == [[0.0, 0.0, 0.0]]


def test_malformed_letters_are_never_tried() -> None:
    asked: list[Matrix] = []

    def confusions(peer: int, models: Matrix) -> Matrix:
        asked.append(models.copy())
        return says(*[RIGHT] * len(models))

    faults = [np.full(3, np.nan), np.array([np.inf, 0.0, 0.0]), np.ones(4), "hello", np.full(3, 1e308)]
    letters = Letters.of(THREE, faults)
    hoods = Hoods([[0, *range(1, 8), -1]], np.full((1, 9), 1 / 9), [0], [[0, *range(1, 8), 8]])
    told = Occasion(confusions=confusions, shared=lambda peer, others: np.full(len(others), 2))
    mixed = Bristle().mix(letters, hoods, told)
    assert len(asked) == 1
    np.testing.assert_array_equal(asked[0], THREE)
    assert sorted(mixed.reasons[0]) == [3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(mixed.models[0], THREE.mean(axis=0))


# ---------------------------------------------------------------------------------------------------- the prioritiser


def drawn(rule: Bristle, k: int, seed: int = 0) -> list[int]:
    """The ids that a peer at 0 tries, of neighbours 1 .. k that are as far away as their ids say."""
    asked = Occasion(
        confusions=lambda peer, models: says(*[RIGHT] * len(models)),
        draws=lambda peer: np.random.default_rng(seed),
    )
    rows = np.arange(k + 1.0)[:, None] * np.array([[0.0, 0.0, 1.0]])
    found: list[int] = rule.mix(Letters(rows), around_0(k), asked).info["tried"][0]
    return found


def in_thirds(ids: list[int], k: int) -> list[int]:
    return [sum(one in third for one in ids) for third in np.array_split(np.arange(1, k + 1), 3)]


def test_four_near_five_middle_and_two_far_letters_are_tried() -> None:
    seen = set()
    for seed in range(20):
        ids = drawn(Bristle(), 30, seed)
        assert in_thirds(ids, 30) == [4, 5, 2]
        assert ids == sorted(set(ids))
        seen |= set(ids)
    assert len(seen) == 30, "every letter has a chance"
    assert drawn(Bristle(), 30, 3) == drawn(Bristle(), 30, 3)


def test_a_third_that_is_short_gives_what_it_has_and_few_letters_are_all_tried() -> None:
    assert in_thirds(drawn(Bristle(), 11), 11) == [4, 4, 2]
    assert drawn(Bristle(), 10) == list(range(1, 11))
    assert in_thirds(drawn(Bristle(exploration=0.0), 30), 30) == [10, 0, 0]
    assert in_thirds(drawn(Bristle(exploration=1.0), 30), 30) == [0, 0, 10]
    uniform = [in_thirds(drawn(Bristle(bands=False), 30, seed), 30) for seed in range(20)]
    assert {sum(one) for one in uniform} == {10}
    assert len({tuple(one) for one in uniform}) > 3


# ---------------------------------------------------------------------------------------------------- what it refuses


def test_what_it_needs_to_know_is_asked_for() -> None:
    letters, hoods = Letters(THREE), around_0(2)
    with pytest.raises(ParameterError, match=r"Say what models take samples for: `Occasion\(confusions=...\)`"):
        Bristle().mix(letters, hoods)
    with pytest.raises(ParameterError, match=r"draws 2 of 3 letters by chance. Say by which: `Occasion\(draws=...\)`"):
        Bristle(prioritised=2).mix(Letters(np.eye(4, 3)), around_0(3), occasion(says(*[RIGHT] * 4)))
    with pytest.raises(ParameterError, match=r"each of 3 classes has an equal part\. Found layers of \[4, 3\]"):
        Bristle().mix(Letters(np.eye(3, 7)), hoods, occasion(says(RIGHT, RIGHT, RIGHT), layers=(4, 3)))


@pytest.mark.parametrize(
    ("counts", "shared", "told"),
    [
        (np.zeros((2, 3, 3)), [2, 2], r"counts \[3, C, C\]. Found shape \[2, 3, 3\]"),
        (np.zeros((3, 3, 2)), [2, 2], r"counts \[3, C, C\]. Found shape \[3, 3, 2\]"),
        (np.full((3, 3, 3), np.nan), [2, 2], "finite and >= 0"),
        (-np.ones((3, 3, 3)), [2, 2], "finite and >= 0"),
        (np.ones((3, 3, 3)), [2], r"should return 2 integers. Found int64 \[1\]"),
        (np.ones((3, 3, 3)), [0.5, 2.0], r"should return 2 integers. Found float64 \[2\]"),
    ],
    ids=["too few", "not square", "nan", "negative", "too few shared", "no integers"],
)
def test_answers_of_a_wrong_shape_are_refused(counts: Matrix, shared: list[int], told: str) -> None:
    with pytest.raises(RobustflError, match=told):
        Bristle().mix(Letters(THREE), around_0(2), occasion(counts, shared))
