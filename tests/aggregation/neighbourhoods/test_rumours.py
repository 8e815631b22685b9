"""Rumours: which are believed, what SybilWall makes of them, and what it tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixed, Occasion, Rumour
from robustfl.aggregation.neighbourhoods.rumours import HEARD_FROM
from robustfl.defenses import LocalFoolsGold, SybilWall

OWN_AND_UNIT = np.vstack([np.zeros(3), np.eye(3)])
"""The model of peer 0, and the letters of its neighbours 1, 2 and 3, which have nothing in common."""

AROUND = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [0])


def like(neighbour: int, teller: int, subject: int = 9, at: int = 0, distance: int = 2) -> Rumour:
    """A rumour about a stranger who has the history of a neighbour."""
    return Rumour(teller, subject, at, distance, 3.0 * OWN_AND_UNIT[neighbour])


def heard(rule: SybilWall, *rumours: Any, number: int = 4, letters: Any = OWN_AND_UNIT) -> Mixed:
    return rule.mix(Letters(np.array(letters, np.float64)), AROUND, Occasion(number=number, rumours={0: rumours}))


def trust(mixed: Mixed) -> list[float]:
    """The neighbours' weights as multiples of the own one."""
    assert mixed.weights is not None
    return [round(float(share / mixed.weights[0, 0]), 6) for share in mixed.weights[0, 1:]]


# ------------------------------------------------------------------------------------------- what rumours do


@pytest.mark.parametrize(
    ("quorum", "tellers", "expected"),
    [
        (0, [1], [1, 0, 1]),
        (1, [1], [1, 0, 1]),
        (2, [1], [1, 1, 1]),
        (2, [1, 3], [1, 0, 1]),
        (1, [2], [1, 1, 1]),
        (3, [1, 3], [1, 1, 1]),
    ],
    ids=["protocol", "one is enough", "one of two", "two of two", "not about oneself", "two of three"],
)
def test_who_is_like_a_stranger_loses_its_weight_when_enough_tell_of_it(
    quorum: int, tellers: list[int], expected: list[float]
) -> None:
    rumours = [like(2, teller, subject=10 + teller) for teller in tellers]
    assert trust(heard(SybilWall(quorum=quorum), *rumours)) == expected


def test_without_rumours_it_is_fools_gold_among_neighbours() -> None:
    letters = np.random.default_rng(0).standard_normal((4, 12))
    expected = LocalFoolsGold().mix(Letters(letters), AROUND).models
    for quorum in (0, 2):
        found = SybilWall(quorum=quorum).mix(Letters(letters), AROUND).models
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_weights_are_rescaled_over_neighbours_alone_and_never_paired_with_strangers() -> None:
    # The stranger is farther from everybody than any neighbour is, and takes nothing of the scale.
    letters = [[0, 0, 0, 0], [3, 1, 0, 0], [0, 2, 1, 0], [1, 1, 2, 1]]
    rumour = Rumour(1, 9, 0, 2, np.array([0.0, 0.0, 0.0, 1.0]))
    mixed = heard(SybilWall(), rumour, letters=letters)
    assert max(trust(mixed)) == 1.0
    assert mixed.weights is not None
    np.testing.assert_allclose(mixed.weights[0] @ np.array(letters, float), mixed.models[0], atol=1e-12)


def test_published_histories_of_two_neighbours_and_a_stranger() -> None:
    letters, around = (
        Letters(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])),
        Hoods([[0, 1, 2]], np.full((1, 3), 1 / 3), [0]),
    )
    alone = SybilWall().mix(letters, around)
    assert trust(alone) == [1, 1]
    told = SybilWall().mix(
        letters, around, Occasion(number=1, rumours={0: [Rumour(1, 9, 0, 2, np.array([1.0, -1.0]))]})
    )
    assert trust(told) == [1, 0], "what is told alone condemns the second"


@pytest.mark.parametrize("rule", [SybilWall(), SybilWall(quorum=1), LocalFoolsGold()], ids=str)
def test_a_single_neighbour_counts_as_much_as_the_own_model(rule: Any) -> None:
    pair = Hoods([[0, 1]], np.full((1, 2), 0.5), [0])
    assert rule.mix(Letters(np.array([[0.0, 2.0], [4.0, 2.0]])), pair).models.tolist() == [[2.0, 2.0]]


def test_all_alike_leaves_the_own_model() -> None:
    letters = [[5.0, 5.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    for quorum in (0, 1):
        assert heard(SybilWall(quorum=quorum), letters=letters).models.tolist() == [[5.0, 5.0]]


def test_a_rumour_about_a_neighbour_never_outweighs_its_letters() -> None:
    for quorum in (0, 1):
        rule = SybilWall(quorum=quorum)
        mixed = heard(rule, like(2, teller=1, subject=3))
        assert trust(mixed) == [1, 1, 1]
        np.testing.assert_array_equal(rule.state_of(0)["direct"][3][1], OWN_AND_UNIT[3])


def test_hearsay_gives_way_to_later_hearsay_only() -> None:
    rule = SybilWall()
    heard(rule, like(2, teller=1, at=3), number=4)
    assert trust(heard(rule, like(3, teller=2, at=2), number=5)) == [1, 0, 1], "older, by another teller"
    assert trust(heard(rule, like(3, teller=2, at=4), number=6)) == [1, 1, 0]


# ------------------------------------------------------------------------------------------- hostile rumours


def with_(**values: Any) -> Rumour:
    return replace(like(2, teller=1), **values)


HOSTILE: dict[str, tuple[Any, str]] = {
    "another shape": (with_(payload=np.ones(2)), "wrong layout: an array of shape [2], not [3]"),
    "nan": (with_(payload=[0.0, np.nan, 0.0]), "not finite"),
    "beyond the type": (with_(payload=np.array([0.0, 1e200, 0.0])), "too large"),
    "no vector": (with_(payload="hello"), "unreadable (str)"),
    "nothing": (with_(payload=None), "missing"),
    "no rumour": ("hello", "unreadable (str)"),
    "about its receiver": (with_(subject=0), "about its receiver"),
    "about its teller": (with_(subject=1), "about its teller, who has sent a letter"),
    "a stranger tells": (with_(teller=7), "told by nobody whose letter counts"),
    "too near": (with_(distance=1), "of the distance 1, from which no rumour can come"),
    "from the future": (with_(round=5), "of round 5, which has not been played"),
    "before the start": (with_(round=-1), "unreadable: ids, the round and the distance should be whole numbers >= 0"),
    "half a round": (with_(round=0.5), "unreadable: ids, the round and the distance should be whole numbers >= 0"),
    "a name": (with_(subject="x"), "unreadable: ids, the round and the distance should be whole numbers >= 0"),
    "true": (with_(distance=True), "unreadable: ids, the round and the distance should be whole numbers >= 0"),
}


@pytest.mark.parametrize("quorum", [0, 1])
@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_rumours_are_refused_with_a_reason(name: str, quorum: int) -> None:
    rumour, reason = HOSTILE[name]
    rule = SybilWall(quorum=quorum)
    mixed = heard(rule, rumour)
    assert [one.reason for one in mixed.info["refused"][0]] == [reason]
    assert mixed.info["believed"] == {0: 0}
    assert trust(mixed) == [1, 1, 1]
    assert rule.state_of(0)["hearsay"] == {}


def test_who_tells_more_than_it_may_is_not_heard_at_all() -> None:
    mixed = heard(SybilWall(), like(2, 1), like(3, 1, subject=8), like(3, 2, subject=11))
    assert [one.reason for one in mixed.info["refused"][0]] == ["one of 2 from one teller, who may tell 1"] * 2
    assert trust(mixed) == [1, 1, 0]


def test_a_teller_cannot_take_back_what_it_told_later() -> None:
    rule = SybilWall()
    heard(rule, like(2, teller=1, at=3), number=4)
    mixed = heard(rule, like(3, teller=1, at=2), number=5)
    assert [one.reason for one in mixed.info["refused"][0]] == [
        "of round 2, and its teller has told of a later one before"
    ]
    assert trust(mixed) == [1, 0, 1]


def test_quorums_do_not_believe_what_was_relayed() -> None:
    assert trust(heard(SybilWall(quorum=1), like(2, teller=1, distance=3))) == [1, 1, 1]
    assert trust(heard(SybilWall(), like(2, teller=1, distance=3))) == [1, 0, 1]


def test_a_teller_whose_letter_is_refused_tells_nothing() -> None:
    letters = Letters(np.array([[0.0, 0, 0], [np.nan, 0, 0], [0, 1, 0], [0, 0, 1]]))
    mixed = SybilWall().mix(letters, AROUND, Occasion(number=1, rumours={0: [like(2, teller=1)]}))
    assert [one.reason for one in mixed.info["refused"][0]] == ["told by nobody whose letter counts"]


def test_invented_names_take_no_more_memory_than_others() -> None:
    rule = SybilWall()
    for number in range(HEARD_FROM + 5):
        heard(rule, like(2, teller=1, subject=100 + number), number=number)
    hearsay = rule.state_of(0)["hearsay"]
    assert sorted(subject for _, subject in hearsay) == list(range(105, 105 + HEARD_FROM))


# ------------------------------------------------------------------------------------------- histories


def test_histories_are_the_latest_letters_unless_one_is_missed() -> None:
    rng, rule = np.random.default_rng(1), SybilWall()
    rounds = [rng.standard_normal((4, 5)) for _ in range(4)]
    for number, models in enumerate(rounds[:2]):
        heard(rule, letters=models, number=number)
    np.testing.assert_allclose(rule.state_of(0)["direct"][1][1], rounds[1][1], atol=1e-12)
    missed = Hoods([[0, -1, 2, 3]], np.full((1, 4), 0.25), [0], [[0, 1, 2, 3]])
    rule.mix(Letters(rounds[2]), missed, Occasion(number=2))
    heard(rule, letters=rounds[3], number=3)
    np.testing.assert_allclose(rule.state_of(0)["direct"][1][1], rounds[1][1] + rounds[3][1], atol=1e-12)
    np.testing.assert_allclose(rule.state_of(0)["direct"][2][1], rounds[3][2], atol=1e-12)


def test_clipped_histories_add_directions() -> None:
    rule = SybilWall(history="clipped")
    heard(rule, letters=OWN_AND_UNIT, number=0)
    heard(rule, letters=OWN_AND_UNIT + np.array([0.0, 4.0, 0.0]), number=1)
    heard(rule, letters=OWN_AND_UNIT + np.array([0.0, 4.0, 9.0]), number=2)
    np.testing.assert_allclose(rule.state_of(0)["direct"][1][1], [0.0, 1.0, 1.0], atol=1e-12)


def test_who_comes_and_goes_with_huge_letters_breaks_nothing() -> None:
    letters = np.ones((4, 3), np.float32)
    letters[1] = 1e36
    missed = Hoods([[0, -1, 2, 3]], np.full((1, 4), 0.25), [0], [[0, 1, 2, 3]])
    rule = SybilWall()
    for number in range(400):
        hoods = AROUND if number % 2 else missed
        assert np.isfinite(rule.mix(Letters(letters), hoods, Occasion(number=number)).models).all()


def test_receivers_share_the_histories_of_one_letter() -> None:
    rng, rule = np.random.default_rng(2), SybilWall()
    triangle = Hoods([[0, 1, 2], [1, 0, 2], [2, 0, 1]], np.full((3, 3), 1 / 3), [0, 0, 0])
    for number in range(3):
        rule.mix(Letters(rng.standard_normal((3, 6))), triangle, Occasion(number=number))
    state = rule.state_dict()
    assert state["direct"][0][2][1] is state["direct"][1][2][1]
    other = SybilWall()
    other.load_state_dict(state)
    last = Letters(rng.standard_normal((3, 6)))
    np.testing.assert_array_equal(other.mix(last, triangle).models, rule.preview(last, triangle).models)


# ------------------------------------------------------------------------------------------- telling


CHAIN = Hoods(
    [[0, 1, -1], [1, 0, 2], [2, 1, 3], [3, 2, -1]],
    np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]]),
    [0, 0, 0, 0],
    [[0, 1, -1], [1, 0, 2], [2, 1, 3], [3, 2, -1]],
)
EDGES = [(1, 0), (0, 1), (2, 1), (1, 2), (3, 2), (2, 3)]


def gossiped(rule: SybilWall, rounds: int) -> list[dict[int, list[Rumour]]]:
    """What is told along a chain of four peers, round by round."""
    rng, told = np.random.default_rng(3), []
    for number in range(rounds):
        told.append(rule.tell(EDGES, np.random.default_rng(number)))
        rule.mix(Letters(rng.standard_normal((4, 7))), CHAIN, Occasion(number=number, rumours=told[-1]))
    return told


def test_news_travel_along_the_chain_one_edge_a_round_and_are_never_returned() -> None:
    rule = SybilWall()
    told = gossiped(rule, 10)
    assert told[0] == {}
    for number, rumours in enumerate(told):
        for receiver, found in rumours.items():
            for one in found:
                assert one.distance == abs(one.subject - receiver)
                assert one.round == number - one.distance + 1
                assert (one.subject - one.teller) * (receiver - one.teller) < 0, "from the other side"
    assert [(one.subject, one.distance) for one in told[1][0]] == [(2, 2)]
    assert {subject for _, subject in rule.state_of(0)["hearsay"]} == {2, 3}


def test_with_a_quorum_only_neighbours_are_told_of() -> None:
    told = gossiped(SybilWall(quorum=2), 4)
    assert {one.distance for rumours in told for found in rumours.values() for one in found} == {2}


def test_near_peers_are_told_of_more_often() -> None:
    rule = SybilWall()
    line = Hoods([[0, 1, 2]], np.full((1, 3), 1 / 3), [0])
    far = Rumour(1, 9, 0, 3, np.ones(4))
    rule.mix(Letters(np.eye(3, 4)), line, Occasion(number=1, rumours={0: [far]}))
    rng = np.random.default_rng(4)
    subjects = [rule.tell([(0, 2)], rng)[2][0].subject for _ in range(2000)]
    # To peer 2 it tells about its neighbour 1 (distance 1) or about 9 (distance 3): 1 to exp(-1.6).
    assert set(subjects) == {1, 9}
    assert subjects.count(9) / 2000 == pytest.approx(0.2019 / 1.2019, abs=0.03)
