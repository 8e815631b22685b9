"""Hearsay in a loop of one's own: peers know each other by name, and learn what they learn in a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion, Rumour
from robustfl.aggregation.neighbourhoods.rumours import HEARD_FROM
from robustfl.defenses import NNA, SybilWall
from robustfl.errors import ParameterError

NAMES = ("anna", "boris", "carla", "dora", "emil", "fred")
GRAPHS: dict[str, Callable[[int], list[int]]] = {
    "complete": lambda peer: [other for other in range(6) if other != peer],
    "ring": lambda peer: sorted([(peer - 1) % 6, (peer + 1) % 6]),
}
RULES = {"plain": SybilWall(), "quorum": SybilWall(quorum=2), "clipped": SybilWall(history="clipped")}

OWN, LETTERS = [0.0, 0.0, 0.0], {"boris": [3.0, 0.0, 0.0], "carla": [0.0, 3.0, 0.0], "dora": [0.0, 0.0, 3.0]}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", RULES)
def test_peers_with_names_learn_what_peers_of_a_network_do_bit_for_bit(graph: str, kind: str) -> None:
    rule, near = RULES[kind], GRAPHS[graph]
    rule.reset()
    index = np.array([[peer, *near(peer)] for peer in range(6)])
    hoods = Hoods(index, np.full(index.shape, 1 / index.shape[1]), [0] * 6)
    draws = np.random.default_rng(1)
    models = draws.standard_normal((6, 8))
    alone, states = models.copy(), dict.fromkeys(range(6))
    for number in range(4):
        told: dict[int, list[Rumour]] = {}
        said: dict[int, dict[str, Any]] = {peer: {} for peer in range(6)}
        for peer in range(6):
            edges = [(peer, other) for other in near(peer)]
            for receiver, rumours in rule.tell(edges, np.random.default_rng([number, peer])).items():
                told.setdefault(receiver, []).extend(rumours)
            others, rng = [NAMES[other] for other in near(peer)], np.random.default_rng([number, peer])
            by_name = rule.tell_one(others, name=NAMES[peer], state=states[peer], rng=rng)
            for receiver, rumours in by_name.items():
                said[NAMES.index(receiver)][NAMES[peer]] = rumours
        mixed = rule.mix(Letters(models), hoods, Occasion(number=number, rumours=told))
        after = np.empty_like(alone)
        for peer in range(6):
            letters = {NAMES[other]: alone[other] for other in near(peer)}
            given: dict[str, Any] = {"rumours": said[peer], "name": NAMES[peer], "state": states[peer]}
            after[peer], answer = rule.mix_one(alone[peer], letters, occasion=Occasion(number=number), **given)
            states[peer] = answer.state
            assert answer.info["believed"][0] == mixed.info["believed"][peer]
        np.testing.assert_array_equal(after, mixed.models)
        steps = draws.standard_normal((6, 8))
        models, alone = mixed.models + steps, after + steps


def refused(rumours: dict[str, list[Any]], **given: Any) -> tuple[int, list[tuple[Any, Any, str]], tuple[Any, ...]]:
    """How many rumours anna believes, the others with the reasons, and the names that she then knows."""
    _, told = SybilWall().mix_one(OWN, LETTERS, rumours=rumours, name="anna", **given)
    assert told.state is not None
    why = [(one.teller, one.subject, one.reason) for one in told.info["refused"][0]]
    return told.info["believed"][0], why, told.state["names"]


def rumour(subject: Any, **values: Any) -> Rumour:
    return Rumour(**{"teller": "boris", "subject": subject, "round": 0, "distance": 2, "payload": OWN, **values})


def test_who_has_told_a_rumour_is_who_sent_it() -> None:
    """A neighbour that tells in another's name would otherwise count for two."""
    told = SybilWall().mix_one(OWN, LETTERS, rumours={"carla": [rumour("emil")]}, name="anna")[1]
    assert told.state is not None
    carla, emil = (told.state["names"].index(name) + 1 for name in ("carla", "emil"))
    assert set(told.state["rule"]["hearsay"][0]) == {(carla, emil)}


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (["a", {}], "unreadable: ids, the round and the distance should be whole numbers >= 0"),
        (float("nan"), "unreadable: ids, the round and the distance should be whole numbers >= 0"),
        ("anna", "about its receiver"),
        ("boris", "about its teller, who has sent a letter"),
    ],
    ids=["unhashable", "nan", "receiver", "teller"],
)
def test_rumours_about_nobody_or_those_present_are_refused(subject: Any, reason: str) -> None:
    believed, why, names = refused({"boris": [rumour(subject)]})
    assert (believed, [(one[0], one[2]) for one in why]) == (0, [("boris", reason)])
    assert names == ("boris", "carla", "dora")


def test_what_is_no_rumour_and_who_is_no_neighbour_are_refused_by_name() -> None:
    believed, why, names = refused({"boris": ["hello", rumour("fred", payload=[1.0])], "zoe": [rumour("emil")]})
    assert believed == 0
    assert why == [
        (-1, -1, "unreadable (str)"),
        ("boris", "fred", "wrong layout: an array of shape [1], not [3]"),
        ("zoe", "emil", "told by nobody whose letter counts"),
    ]
    assert set(names) == {"boris", "carla", "dora", "zoe", "emil", "fred"}


def test_a_neighbour_that_tells_too_much_is_not_believed_and_fills_no_memory() -> None:
    many = [rumour(f"sybil {number}") for number in range(3 * HEARD_FROM)]
    believed, why, names = refused({"boris": many, "carla": [rumour("emil")]})
    assert believed == 1
    assert {one[2] for one in why} == {f"one of {len(many)} from one teller, who may tell 1"}
    assert names == ("boris", "carla", "dora", "emil")


def test_who_listens_has_to_know_its_own_name_and_who_tells() -> None:
    with pytest.raises(ParameterError, match="should know what they call it itself"):
        SybilWall().mix_one(OWN, LETTERS, rumours={"boris": [rumour("emil")]})
    with pytest.raises(ParameterError, match=r"`rumours` should name who has told them\. Found nan"):
        SybilWall().mix_one(OWN, LETTERS, rumours={float("nan"): [rumour("emil")]}, name="anna")


def test_rules_that_do_not_listen_mix_as_if_nothing_had_been_told() -> None:
    one, told = NNA().mix_one(OWN, LETTERS, b=1, rumours={"boris": [rumour("emil")]}, name="anna")
    other, alike = NNA().mix_one(OWN, LETTERS, b=1)
    np.testing.assert_array_equal(one, other)
    assert told.rejected == alike.rejected


def test_who_knows_nobody_has_nothing_to_tell() -> None:
    rule, rng = SybilWall(), np.random.default_rng(0)
    assert rule.tell_one(["boris"], name="anna", state=None, rng=rng) == {}
    _, told = rule.mix_one(OWN, {"boris": [1.0, 0.0, 0.0]})
    assert rule.tell_one(["boris"], name="anna", state=told.state, rng=rng) == {}
    said = rule.tell_one(["boris", "new"], name="anna", state=told.state, rng=rng)
    assert [(one.teller, one.subject, one.distance) for one in said["new"]] == [("anna", "boris", 2)]
