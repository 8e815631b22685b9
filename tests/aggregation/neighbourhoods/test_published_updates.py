"""SybilWall with `history="updates"`: what it makes of what neighbours say of their training, true or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixed, Occasion, Rumour
from robustfl.aggregation.neighbourhoods.rumours import largest_payload
from robustfl.defenses import SybilWall
from robustfl.errors import ParameterError

AROUND = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [0])
LETTERS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [3.0, 0.0, 0.0], [3.0, 0.0, 1.0]])
"""The model of peer 0, and letters of its neighbours 1, 2 and 3, two of which are the same."""

APART = {1: [1.0, 0.0, 0.0], 2: [0.0, 2.0, 0.0], 3: [0.0, 0.0, 0.5]}
ALIKE = {1: [1.0, 0.0, 0.0], 2: [4.0, 0.0, 0.0], 3: [0.0, 0.0, 1.0]}


def mixed(rule: SybilWall, said: dict[int, Any], *rumours: Rumour, number: int = 4, letters: Any = LETTERS) -> Mixed:
    when = Occasion(number=number, rumours={0: rumours}, updates=lambda peer, sender: said.get(sender))
    return rule.mix(Letters(np.array(letters)), AROUND, when)


def trust(found: Mixed) -> list[float]:
    """The neighbours' weights as multiples of the own one."""
    assert found.weights is not None
    return [round(float(share / found.weights[0, 0]), 6) for share in found.weights[0, 1:]]


def updates(**values: Any) -> SybilWall:
    return SybilWall(history="updates", **values)


def test_it_is_never_the_default_and_says_why() -> None:
    assert SybilWall().history == "models"
    assert "nobody can check" in " ".join((SybilWall.__doc__ or "").split())
    assert "history='updates'" in SybilWall.unfit


@pytest.mark.parametrize("quorum", [0, 2])
def test_weights_follow_from_what_is_said_and_not_from_letters(quorum: int) -> None:
    assert trust(mixed(updates(quorum=quorum), APART)) == [1, 1, 1]
    assert mixed(updates(quorum=quorum), APART).models.tolist() == [[2.25, 0.0, 0.25]]
    assert trust(mixed(updates(quorum=quorum), ALIKE)) == [0, 0, 1]
    assert mixed(updates(quorum=quorum), ALIKE).models.tolist() == [[1.5, 0.0, 0.5]]
    assert trust(mixed(SybilWall(quorum=quorum), APART))[:2] == [0, 0], "letters are alike"


def test_histories_are_the_sums_of_what_was_said_and_are_told() -> None:
    rule = updates()
    mixed(rule, APART, number=0)
    mixed(rule, ALIKE, number=1)
    history = {sender: known[1].tolist() for sender, known in rule.state_of(0)["direct"].items()}
    assert history == {1: [2.0, 0.0, 0.0], 2: [4.0, 2.0, 0.0], 3: [0.0, 0.0, 1.5]}
    (told,) = rule.tell([(0, 1)], np.random.default_rng(0))[1]
    assert told.payload.tolist() == history[told.subject]
    assert told.subject in (2, 3)


def test_a_rumour_about_the_like_of_what_was_said_condemns() -> None:
    assert trust(mixed(updates(), APART, Rumour(1, 9, 0, 2, [0.0, 7.0, 0.0]))) == [1, 0, 1]
    crossed = {1: [0.0, 1.0, 0.0], 2: [0.0, 0.0, 1.0], 3: [1.0, 0.0, 0.0]}
    assert trust(mixed(updates(), crossed, Rumour(1, 9, 0, 2, LETTERS[1]))) == [1, 1, 0], "letters are not compared"


HOSTILE: dict[str, tuple[Any, str]] = {
    "nothing": (None, "missing"),
    "no vector": ("hello", "unreadable (str)"),
    "another shape": ([1.0, 2.0], "wrong layout: an array of shape [2], not [3]"),
    "nan": ([0.0, np.nan, 0.0], "not finite"),
    "infinite": ([0.0, np.inf, 0.0], "not finite"),
    "too large": ([0.0, 1e300, 0.0], "too large"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("quorum", [0, 1])
def test_letters_of_those_who_say_nothing_readable_have_no_weight(name: str, quorum: int) -> None:
    said, reason = HOSTILE[name]
    rule = updates(quorum=quorum)
    first = mixed(rule, {**APART, 2: said}, number=0)
    assert trust(first) == [1, 0, 1]
    assert first.info["mute"] == {0: {2: reason}}
    assert 2 not in rule.state_of(0)["direct"]
    assert trust(mixed(rule, APART, number=1)) == [1, 1, 1]
    assert trust(mixed(rule, {**APART, 2: said}, number=2)) == [1, 0, 1]
    np.testing.assert_array_equal(rule.state_of(0)["direct"][2][1], APART[2])


def test_a_peer_whose_neighbours_all_say_nothing_keeps_its_model() -> None:
    assert mixed(updates(), {}).models.tolist() == [LETTERS[0].tolist()]


def test_whoever_repeats_the_largest_updates_breaks_nothing() -> None:
    rule, largest = updates(), largest_payload(np.zeros(3, np.float32))
    letters = LETTERS.astype(np.float32)
    for number in range(300):
        found = mixed(rule, {**APART, 2: [largest, 0.0, 0.0]}, number=number, letters=letters)
        assert np.isfinite(found.models).all()
    assert all(np.isfinite(history).all() for _, history in rule.state_of(0)["direct"].values())


def test_what_is_said_is_copied() -> None:
    rule, said = updates(), {sender: np.array(update) for sender, update in APART.items()}
    mixed(rule, said)
    for update in said.values():
        update[:] = 99.0
    np.testing.assert_array_equal(rule.state_of(0)["direct"][2][1], APART[2])


def test_receivers_share_the_history_of_what_one_peer_says_to_all() -> None:
    triangle = Hoods([[0, 1, 2], [1, 0, 2], [2, 0, 1]], np.full((3, 3), 1 / 3), [0, 0, 0])
    rule, said = updates(), np.eye(3)
    rows = list(said)
    for number in range(2):
        rule.mix(Letters(LETTERS[:3]), triangle, Occasion(number=number, updates=lambda _, sender: rows[sender]))
    state = rule.state_dict()
    assert state["direct"][0][2][1] is state["direct"][1][2][1]
    np.testing.assert_array_equal(state["direct"][0][2][1], [0.0, 0.0, 2.0])


def test_without_anybody_who_can_be_asked_it_says_what_to_do() -> None:
    with pytest.raises(ParameterError, match=r"Pass it as `Occasion\(updates=\.\.\.\)`, or choose history='models'"):
        updates().mix(Letters(LETTERS), AROUND)


def test_loops_of_ones_own_pass_them_by_name() -> None:
    letters, rule = dict(zip(["anna", "bert", "carl"], LETTERS[1:], strict=True)), updates()
    said = dict(zip(["carl", "bert", "anna"], [ALIKE[3], ALIKE[2], ALIKE[1]], strict=True))
    model, told = rule.mix_one(LETTERS[0], letters, updates=said)
    assert model.tolist() == [1.5, 0.0, 0.5]
    assert told.weights == {"anna": 0.0, "bert": 0.0, "carl": 0.5}
    model, told = rule.mix_one(LETTERS[0], letters, updates={"anna": [0.0, 1.0, 0.0]}, state=told.state)
    assert told.weights == {"anna": pytest.approx(0.5), "bert": 0.0, "carl": 0.0}


def test_loops_of_ones_own_pass_them_in_the_form_of_their_models() -> None:
    def state(vector: Any) -> dict[str, Any]:
        return {"weight": np.array([vector[:2]], float), "bias": np.array(vector[2:], float)}

    names, rule = ["anna", "bert", "carl"], updates()
    letters = dict(zip(names, map(state, LETTERS[1:]), strict=True))
    said: dict[str, Any] = {name: state(ALIKE[place]) for place, name in enumerate(names, 1)}
    said["anna"] = dict(reversed(said["anna"].items()))  # another order of the layers is the same update
    model, told = rule.mix_one(state(LETTERS[0]), letters, updates=said)
    assert (model["weight"].tolist(), model["bias"].tolist()) == ([[1.5, 0.0]], [0.5])
    assert told.weights == {"anna": 0.0, "bert": 0.0, "carl": 0.5}
    said["bert"], said["carl"] = {"weight": "hello"}, state([np.nan, 0.0, 0.0])
    model, told = rule.mix_one(state(LETTERS[0]), letters, updates=said)
    assert told.weights == {"anna": pytest.approx(0.5), "bert": 0.0, "carl": 0.0}
    assert told.info["mute"] == {0: {"bert": "unreadable (dict)", "carl": "not finite"}}
