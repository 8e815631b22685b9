"""Attacks on networks of peers: the numbers of small examples, knowledge, and what the contract refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import Dissensus, Echo, Edge, InSteps, PeerWhiteBox, SignFlip, Spectral, StateOverride
from robustfl.errors import AttackError, KnowledgeError, ParameterError
from robustfl.threats import Adversary, Knowledge, PeerAttack
from robustfl.threats.peers.space import in_space
from robustfl.threats.peers.view import NOBODY, PeerFacts, PeerView

OWN, AROUND = np.zeros(2), np.array([[1.0, 0.0], [0.0, 2.0]])
"""A peer at the origin, whose two honest neighbours and one malicious neighbour have the weight 1/4 each."""


def averaged(letter: Any) -> Any:
    return (OWN + AROUND.sum(axis=0) + letter) / 4


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (Echo(), [0.0, 0.0]),
        (Dissensus(strength=1.5), [-1.5, -3.0]),
        (Edge(slack=0.01), [-0.885483, -1.770966]),
        (Edge(direction="away", slack=0.01), [-0.885483, -1.770966]),
    ],
    ids=["echo", "dissensus", "edge sign", "edge away"],
)
def test_letters_to_one_peer_are_those_of_the_formulas(attack: PeerAttack, expected: list[float]) -> None:
    assert attack(OWN, AROUND).round(6).tolist() == expected


def test_dissensus_pushes_an_averaging_peer_away_and_override_sets_it() -> None:
    assert averaged(Dissensus()(OWN, AROUND)).tolist() == [-0.125, -0.25]
    wanted = np.array([5.0, 5.0])
    letter = StateOverride()(OWN, AROUND, initial=wanted)
    assert letter.tolist() == [19.0, 18.0]
    assert averaged(letter).tolist() == wanted.tolist()
    two = StateOverride()(OWN, AROUND, f=2, weights=[0.2] * 5, initial=wanted)
    assert ((OWN + AROUND.sum(axis=0) + 2 * two) / 5).tolist() == pytest.approx(wanted.tolist())


def test_edge_goes_by_the_rank_that_a_rule_with_this_bound_still_keeps() -> None:
    around = np.diag([1.0, 2.0, 3.0, 4.0])
    # Five neighbours, of which one is malicious: with b = 1 the fourth honest one is the farthest that is kept.
    far = [float(np.linalg.norm(Edge(slack=0.0)(np.zeros(4), around, bound=b))) for b in (1, 2, 4, 9)]
    assert far == pytest.approx([4.0, 3.0, 1.0, 1.0])


def test_a_white_box_finds_the_amplitude_that_a_rule_lets_through() -> None:
    def bounded(letter: Any) -> Any:
        """Averages what is no farther than 3 away."""
        near = float(np.linalg.norm(letter)) <= 3.0
        return averaged(letter) if near else averaged(OWN)

    letter = PeerWhiteBox(amplitudes=40)(OWN, AROUND, mix=bounded)
    assert 2.0 < float(np.linalg.norm(letter)) <= 3.0
    assert float(np.linalg.norm(PeerWhiteBox()(OWN, AROUND, mix=averaged))) == pytest.approx(40.0)


def facts(honest: Tensor, **values: Any) -> PeerFacts:
    """Three honest peers in a chain 0-1-2, of whom the first two are victims."""
    defaults: dict[str, Any] = {
        "round": 0,
        "f": 1,
        "honest": honest,
        "own": lambda: honest[:1],
        "victims": np.array([0, 1]),
        "around": np.array([[1, NOBODY], [0, 2]]),
        "attackers": np.array([1, 1]),
        "bounds": np.array([1, 1]),
        "weights": np.array([[0.25, 0.0], [0.25, 0.25]]),
        "say": np.array([0.25, 0.25]),
        "cut": lambda: np.array([0.6, 0.0, -0.8]),
        "initial": honest[0] * 0,
    }
    return PeerFacts(**{**defaults, **values})


def test_all_victims_are_answered_at_once_as_one_by_one() -> None:
    honest = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]], dtype=torch.float64)
    for attack in (Echo(), Dissensus(), Edge(), Edge(direction="away")):
        both = Adversary(attack).craft(facts(honest))
        shares = {"weights": [0.5, 0.25, 0.25]}, {"weights": [0.25] * 4}
        alone = [attack(honest[0], honest[1:2], **shares[0]), attack(honest[1], honest[[0, 2]], **shares[1])]
        torch.testing.assert_close(both, torch.stack(alone))


def test_the_spectral_push_drives_the_sides_apart() -> None:
    honest = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]], dtype=torch.float64)
    letters = Adversary(Spectral()).craft(facts(honest))
    apart = 0.6 * honest[0] - 0.8 * honest[2]
    far = float((honest[0] - honest[1]).norm())
    torch.testing.assert_close(letters[0], honest[0] + far * apart / apart.norm())
    torch.testing.assert_close(letters[1], honest[1])  # it stands on the cut itself


@dataclass(frozen=True, kw_only=True)
class Looking(PeerAttack):
    """Looks at something, and sends the victims their own models."""

    look_at: ClassVar[Any] = None
    needs: ClassVar[Knowledge] = Knowledge.NEIGHBOURS

    def required_knowledge(self) -> Knowledge:
        return self.needs

    def craft(self, view: PeerView) -> Tensor:
        answer = type(self).look_at(view)
        return answer if answer is not None else view.models.clone()


def looking(look: Any, needs: Knowledge) -> Looking:
    return type("Peeking", (Looking,), {"look_at": staticmethod(look), "needs": needs})()  # type: ignore[no-any-return]


def note(look: Any) -> Any:
    """The look, whose answer is not what is sent."""

    def noted(view: PeerView) -> None:
        look(view)

    return noted


@pytest.mark.parametrize(
    ("look", "missing"),
    [
        (note(lambda view: view.models), "peers"),
        (note(lambda view: view.mean()), "peers"),
        (note(lambda view: view.distances()), "peers"),
        (note(lambda view: view.pull()), "topology"),
        (note(lambda view: view.say), "topology"),
        (note(lambda view: view.across()), "topology"),
        (note(lambda view: view.initial), "history"),
        (note(lambda view: view.mix(view.models)), "defense"),
    ],
    ids=["models", "mean", "distances", "pull", "say", "across", "initial", "mix"],
)
def test_what_is_not_declared_is_not_handed_out(look: Any, missing: str) -> None:
    honest = torch.ones(3, 2)
    needs = Knowledge.NOTHING if missing == "peers" else Knowledge.PEERS
    with pytest.raises(KnowledgeError, match=f"needs the knowledge '{missing}'"):
        Adversary(looking(look, needs)).craft(facts(honest))


def test_neighbours_are_what_malicious_peers_got_themselves() -> None:
    honest = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]])
    seen: dict[str, Tensor] = {}

    def look(view: PeerView) -> None:
        seen["mean"], seen["known"] = view.mean(), torch.as_tensor(view.known)

    Adversary(looking(look, Knowledge.NEIGHBOURS)).craft(facts(honest))
    assert seen["known"].tolist() == [[True, False], [True, False]], "nobody malicious is next to the third peer"
    torch.testing.assert_close(seen["mean"][1], honest[:2].mean(dim=0))
    Adversary(looking(look, Knowledge.PEERS)).craft(facts(honest))
    torch.testing.assert_close(seen["mean"][1], honest.mean(dim=0))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda view: view.models, "share memory"),
        (lambda view: view.models[:1].clone(), r"a tensor \(2, 2\). Found \(1, 2\)"),
        (lambda view: view.models.numpy().copy(), "Found ndarray"),
        (lambda view: view.models.double(), "type torch.float32 on cpu. Found torch.float64"),
        (lambda view: view.models[:1].clone().expand(2, 2), "share memory"),
        (lambda view: view.models.add_(1.0).clone(), "changed the victims' models"),
    ],
    ids=["view", "short", "array", "double", "expanded", "changed"],
)
def test_what_is_no_letter_for_every_victim_is_refused(answer: Any, told: str) -> None:
    with pytest.raises(AttackError, match=told):
        Adversary(looking(answer, Knowledge.NEIGHBOURS)).craft(facts(torch.ones(3, 2)))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": np.zeros((1, 2))}, "`model` should be floating-point numbers"),
        ({"neighbours": np.zeros((1, 3))}, "`neighbours` such models"),
        ({"weights": [0.5, 0.5]}, "one number for the peer and each of its neighbours, 4 in all"),
        ({"f": 0}, "f should be >= 1"),
    ],
    ids=["model", "neighbours", "weights", "f"],
)
def test_calls_that_fit_no_peer_are_refused(values: dict[str, Any], told: str) -> None:
    given = {"model": OWN, "neighbours": AROUND, **values}
    with pytest.raises(AttackError, match=told):
        Echo()(given.pop("model"), given.pop("neighbours"), **given)


def test_steps_are_a_space_in_front_of_an_attack_on_updates() -> None:
    attack = InSteps() >> SignFlip(mode="mean")
    assert (attack.fits("peers"), attack.fits("dense")) == (True, False)
    assert attack.required_knowledge() == Knowledge.PEERS
    assert in_space(SignFlip(), InSteps()) == InSteps() >> SignFlip()
    assert in_space(attack, InSteps()) is None
    assert in_space(Echo(), InSteps()) is None
    with pytest.raises(ParameterError, match=r"before an attack on updates\. Found Echo"):
        InSteps() >> Echo()
