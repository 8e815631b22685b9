"""Merit among neighbours: how it is earned, lost, kept, and what many identities gain."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters
from robustfl.defenses import PeerMeritRank
from robustfl.reputation import exact_visits

NEAR = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.9, 0.9]])
"""The own model, and four letters near it."""


def around(k: int, b: int, senders: list[int] | None = None) -> Hoods:
    return Hoods([list(range(k + 1))], np.full((1, k + 1), 1 / (k + 1)), [b], [senders or list(range(k + 1))])


def shares(rule: PeerMeritRank, letters: np.ndarray, b: int = 1) -> list[float]:
    found = rule.mix(Letters(letters), around(len(letters) - 1, b)).weights
    assert found is not None
    return [float(share) for share in found[0]]


def test_with_equal_merit_and_nobody_to_refuse_it_is_gossip() -> None:
    assert shares(PeerMeritRank(), NEAR, b=0) == pytest.approx([0.2] * 5)


def test_a_neighbour_that_comes_back_has_less_merit_and_earns_it_again() -> None:
    rule, strayed = PeerMeritRank(exploration=0.0), NEAR.copy()
    strayed[4] = 100.0
    for _ in range(10):
        assert shares(rule, strayed)[4] == 0.0
    back = NEAR.copy()
    back[3] = [1.0, 1.2]  # somebody else is the farthest from now on
    first = shares(rule, back)
    assert 0.0 < first[4] < 0.5 * first[1]
    for _ in range(80):
        last = shares(rule, back)
    assert last[4] > last[1], "it stands among the others, and has forgotten how to stray"
    assert last[3] == 0.0, "a letter that does not survive weighs nothing, whatever its sender has earned"


def test_a_newcomer_begins_on_trial_and_whoever_was_away_keeps_its_merit() -> None:
    rule = PeerMeritRank(exploration=0.0)
    for _ in range(5):
        rule.mix(Letters(NEAR[:4]), around(3, 0))
    found = rule.mix(Letters(NEAR[[0, 1, 2, 4]]), around(3, 0, [0, 1, 2, 9])).weights
    assert found is not None
    assert 0.0 < found[0, 3] < 0.5 * found[0, 1]
    assert rule.state_of(0)["known"] == (3, 1, 2, 9)
    forgetful = PeerMeritRank(remembered=1)
    forgetful.mix(Letters(NEAR[:4]), around(3, 0))
    forgetful.mix(Letters(NEAR[:3]), around(2, 0, [0, 5, 6]))
    assert forgetful.state_of(0)["known"] == (5, 6), "who was heard last is never left out"


def test_feedback_that_has_faded_away_is_forgotten() -> None:
    rule = PeerMeritRank(fading=0.0)
    rule.mix(Letters(NEAR[:4]), around(3, 0))
    rule.mix(Letters(NEAR[:3]), around(2, 0, [0, 1, 2]))
    assert rule.state_of(0)["edges"][0].tolist() == [0.0, 0.0, 1.0, 1.0]
    rule.mix(Letters(NEAR[:3]), around(2, 0, [0, 1, 2]))
    assert 3 in rule.state_of(0)["known"], "what it has given itself was not multiplied, as it wrote nothing"


@pytest.mark.parametrize("sybils", [1, 5, 50])
def test_sybils_of_whom_one_passes_gain_no_more_than_the_bound(sybils: int) -> None:
    """One attacker among four honest neighbours is near, and any number of its Sybils are near it and nobody else."""
    rule = PeerMeritRank(exploration=0.0)
    letters = np.concatenate([NEAR[:4], [[2.0, 2.0]], 2.2 + 0.01 * np.arange(sybils)[:, None] * np.ones(2)])
    for _ in range(20):
        found = shares(rule, letters, b=sybils)
    assert found[5:] == [0.0] * sybils, "they do not survive at the own model"
    edges = rule.state_of(0)["edges"]
    assert not edges[0, 5:].any()
    hits = exact_visits(edges, 0, 0.15).hits
    assert 0.0 < hits[5:].sum() <= 0.85 / 0.15 * hits[4]
    k = len(letters) - 1
    assert found[4] <= k / (k + 1) * 3.0 / k + 1e-9, "walks that it keeps among its own lift it up to the cap at most"


def test_nobody_exceeds_the_cap_and_what_is_cut_off_stays_with_the_own_model() -> None:
    rule, steady = PeerMeritRank(cap=1.0, exploration=0.0), NEAR.copy()
    steady[3:] = 100.0
    for _ in range(5):
        found = shares(rule, steady, b=2)
    assert found[1] == found[2] == pytest.approx(0.8 / 4)
    assert found[0] == pytest.approx(1.0 - 0.4)


def test_a_memory_continues_from_a_stored_state_and_previews_change_nothing() -> None:
    rule, other = PeerMeritRank(), PeerMeritRank()
    for _ in range(3):
        rule.mix(Letters(NEAR), around(4, 1))
    other.load_state_dict(rule.state_dict())
    moved = NEAR + 0.1
    before = rule.preview(Letters(moved), around(4, 1)).models
    np.testing.assert_array_equal(before, other.mix(Letters(moved), around(4, 1)).models)
    np.testing.assert_array_equal(before, rule.mix(Letters(moved), around(4, 1)).models)


def test_decisions_say_who_weighs_what() -> None:
    found = PeerMeritRank().mix(Letters(np.concatenate([NEAR, [[50.0, 50.0]]])), around(5, 1))
    told = {decision.client: decision for decision in found.info["decisions"][0]}
    assert (told[5].action, told[5].score) == ("excluded", 0.0)
    assert told[1].action == "weighted"
    assert found.weights is not None
    assert told[1].evidence["weight"] == found.weights[0, 1]
