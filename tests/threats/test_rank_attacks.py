"""Attacks on rankings: what each sends, that knowledge is enforced, and what the machine refuses to pass on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.votes.counting import sum_positions
from robustfl.attacks import IPM, BoundarySwap, LabelFlip, ReverseRanking, ShuffledRanking
from robustfl.defenses import FRL
from robustfl.errors import AttackError, KnowledgeError, ParameterError
from robustfl.threats import Knowledge, RankAttack, RankView
from robustfl.threats.adversary import Adversary
from robustfl.threats.rankings import Layers, RankFacts, dropped_edges

Ints = npt.NDArray[np.int64]

CONFIGURED: tuple[RankAttack, ...] = (
    ReverseRanking(),
    ReverseRanking(estimate="peers"),
    ShuffledRanking(),
    BoundarySwap(),
    BoundarySwap(estimate="own"),
    BoundarySwap(width=0.3),
    BoundarySwap(width=1.0, estimate="own"),
)
each = pytest.mark.parametrize("attack", CONFIGURED, ids=repr)


def rankings(seed: int, clients: int, *edges: int) -> list[Ints]:
    rng = np.random.default_rng(seed)
    return [np.stack([rng.permutation(n) for _ in range(clients)]) for n in edges]


def vote(layers: Layers) -> Layers:
    found: Layers = FRL()(list(layers))
    return found


@each
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), f=st.integers(1, 4), edges=st.integers(1, 25))
def test_each_sends_rankings_of_its_own_and_changes_nothing(attack: RankAttack, seed: int, f: int, edges: int) -> None:
    honest, own = rankings(seed, 5, edges, 7), rankings(seed + 1, f, edges, 7)
    before = [layer.copy() for layer in (*honest, *own)]
    crafted = attack(honest, f=f, own=own, vote=vote, rng=seed)
    assert [layer.shape for layer in crafted] == [(f, edges), (f, 7)]
    for layer, count in zip(crafted, (edges, 7), strict=True):
        np.testing.assert_array_equal(np.sort(layer, axis=1), np.tile(np.arange(count), (f, 1)))
        assert not any(np.shares_memory(layer, shown) for shown in (*honest, *own))
    for layer, copy in zip((*honest, *own), before, strict=True):
        np.testing.assert_array_equal(layer, copy)
    again = attack(honest, f=f, own=own, vote=vote, rng=seed)
    assert all(np.array_equal(a, b) for a, b in zip(crafted, again, strict=True))


@each
def test_where_clients_name_some_edges_attacks_name_as_many(attack: RankAttack) -> None:
    rule = FRL(sparse=0.25)
    honest, own = ([layer[:, 15:] for layer in rankings(seed, 4, 20)] for seed in (1, 2))
    crafted = attack(honest, f=4, own=own, edges=[20], vote=lambda layers: rule(list(layers), edges=[20]))
    assert crafted[0].shape == (4, 5)
    assert all(len(set(row.tolist())) == 5 and set(row.tolist()) <= set(range(20)) for row in crafted[0])
    assert not rule.aggregate([np.concatenate([crafted[0], honest[0]])], edges=[20]).rejected.any()


def test_a_pooled_ranking_is_sent_the_other_way_round() -> None:
    scores = np.array([0, 4, 2, 1, 3, 5])
    crafted = ReverseRanking()(rankings(0, 3, 6), f=2, own=[np.stack([scores, scores])])
    np.testing.assert_array_equal(crafted[0], np.tile(scores[::-1], (2, 1)))
    pooled = ReverseRanking()(rankings(0, 3, 6), f=2, own=[np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])])
    assert pooled[0][0].tolist() == [0, 1, 2, 3, 4, 5], "ties by number"


def test_a_reversed_ranking_turns_the_vote_of_the_worked_example() -> None:
    own, honest = np.array([[2, 0, 1, 3], [0, 2, 3, 1]]), np.array([[2, 0, 1, 3], [0, 2, 3, 1], [2, 0, 1, 3]])
    (crafted,) = ReverseRanking()([honest], f=1, own=[own])
    assert crafted.tolist() == [[1, 3, 0, 2]]
    for rows, expected in (
        (own[:1], [1, 2, 0, 3]),
        (own[1:], [0, 3, 1, 2]),
        (own, [1, 5, 1, 5]),
        (honest, [2, 7, 1, 8]),
        (np.vstack([honest, crafted]), [4, 7, 4, 9]),
    ):
        (sums,), _ = sum_positions({row: [ranking] for row, ranking in enumerate(rows)}, [4])
        assert sums.tolist() == expected
    assert FRL()([honest])[0].tolist() == [2, 0, 1, 3]
    assert FRL()([np.vstack([honest, crafted])])[0].tolist() == [0, 2, 1, 3]


def test_shuffles_differ_between_clients_rounds_and_layers() -> None:
    crafted = ShuffledRanking()(rankings(0, 3, 50, 50), f=3)
    rows = {tuple(row) for layer in crafted for row in layer.tolist()}
    assert len(rows) == 6
    assert not np.array_equal(crafted[0], ShuffledRanking()(rankings(0, 3, 50, 50), f=3, rng=1)[0])


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (0.25, [4, 0, 1, 2, 5, 6, 7, 3]),
        (0.5, [4, 5, 0, 1, 6, 7, 2, 3]),
        (1.0, [4, 5, 6, 7, 0, 1, 2, 3]),
    ],
)
def test_edges_at_the_limit_get_the_extreme_positions(width: float, expected: list[int]) -> None:
    (crafted,) = BoundarySwap(width=width)([np.arange(8)[None]], f=1)
    assert crafted[0].tolist() == expected


def test_trying_widths_out_does_at_least_as_much_as_any_of_them() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=400)
    honest = [np.argsort(scores + 0.5 * rng.normal(size=(12, 400)), axis=1)]
    kept = set(FRL()(honest)[0][200:].tolist())

    def evicted(attack: RankAttack) -> int:
        crafted = attack(honest, f=3, own=[honest[0][:3]], vote=vote)
        after = FRL()([np.concatenate([crafted[0], honest[0]])])[0][200:]
        return len(kept - set(after.tolist()))

    found = evicted(BoundarySwap())
    assert found >= max(evicted(BoundarySwap(width=width)) for width in (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0))
    assert found > max(evicted(ReverseRanking(estimate="peers")), evicted(ShuffledRanking()))


# ------------------------------------------------------------------------------------------------- knowledge


class Curious(RankAttack):
    """Looks at what it did not declare."""

    def craft(self, view: RankView) -> Layers:
        return view.own


class Peeking(RankAttack):
    def craft(self, view: RankView) -> Layers:
        return view.honest


class Asking(RankAttack):
    knowledge = Knowledge.PEERS

    def craft(self, view: RankView) -> Layers:
        return view.vote(view.honest)


class Writing(RankAttack):
    knowledge = Knowledge.PEERS

    def craft(self, view: RankView) -> Layers:
        view.honest[0][0, 0] = 7
        return view.honest


class Sending(RankAttack):
    """Sends what it is told to."""

    memory = "rounds"
    what: Any = None

    def craft(self, view: RankView) -> Any:
        view.memory[self.memory] = view.memory.get(self.memory, 0) + 1
        return type(self).what


@pytest.mark.parametrize(
    ("attack", "what"), [(Curious(), "'own'"), (Peeking(), "'peers'"), (Asking(), "'defense'")], ids=repr
)
def test_knowledge_that_is_not_declared_is_refused(attack: RankAttack, what: str) -> None:
    layers = rankings(0, 2, 5)
    with pytest.raises(KnowledgeError, match=what):
        attack(layers, f=2, own=layers, vote=vote)


def test_declared_knowledge_follows_the_parameters() -> None:
    assert ReverseRanking().required_knowledge() == Knowledge.OWN
    assert ReverseRanking(estimate="peers").required_knowledge() == Knowledge.PEERS
    assert BoundarySwap().required_knowledge() == Knowledge.PEERS | Knowledge.DEFENSE
    assert BoundarySwap(width=0.5, estimate="own").required_knowledge() == Knowledge.OWN
    assert ShuffledRanking().required_knowledge() == Knowledge.NOTHING


def test_what_is_shown_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Writing()(rankings(0, 2, 8), f=1)


def test_what_was_not_given_cannot_be_used() -> None:
    layers = rankings(0, 2, 5)
    with pytest.raises(AttackError, match="needs `own`"):
        ReverseRanking()(layers, f=2)
    with pytest.raises(AttackError, match="needs the defense"):
        BoundarySwap()(layers, f=2)


# ------------------------------------------------------------------------------------------------- the machine


@pytest.mark.parametrize(
    "what",
    [
        [np.zeros((2, 5), int)],
        [np.zeros((2, 5), int), np.zeros((1, 3), int)],
        [np.zeros((2, 5)), np.zeros((2, 3))],
        [np.zeros(5, int), np.zeros(3, int)],
        [],
    ],
    ids=["a layer", "rows", "floats", "vectors", "nothing"],
)
def test_other_shapes_and_types_are_an_error(what: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sending, "what", what)
    with pytest.raises(AttackError, match=r"should craft integer rankings of shapes \[\(2, 5\), \(2, 3\)\]"):
        Sending()(rankings(0, 3, 5, 3), f=2)


@pytest.mark.parametrize("honest", [[], [np.zeros(3, int)], [np.zeros((2, 3))], [np.zeros((0, 3), int)]])
def test_honest_rankings_of_another_form_are_an_error(honest: Any) -> None:
    with pytest.raises(AttackError, match="should be integer rankings"):
        ShuffledRanking()(honest, f=1)


def test_outside_its_window_an_attack_is_honest_and_memory_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sending, "what", [np.zeros((1, 4), int)])
    own, honest = rankings(1, 1, 4), rankings(2, 3, 4)
    adversary = Adversary(Sending(start_round=1, every=2))
    for number in range(5):
        facts = RankFacts(
            round=number, f=1, edges=(4,), sent=(4,), keep=0.5, honest=honest, own=lambda: own, aggregate=vote
        )
        crafted = adversary.craft(facts)
        np.testing.assert_array_equal(crafted[0], np.zeros((1, 4)) if number % 2 else own[0])
    assert adversary.memory == {"rounds": 2}
    facts.f = 0
    assert adversary.craft(facts)[0].shape == (0, 4)


def test_channels_say_what_meets_what() -> None:
    assert ReverseRanking().fits("rankings")
    assert not ReverseRanking().fits("dense")
    assert IPM().fits("dense")
    assert IPM().fits("rewards")
    assert not IPM().fits("rankings")
    assert all(LabelFlip().fits(channel) for channel in ("dense", "rankings", "rewards"))


@given(edges=st.integers(1, 10_000), keep=st.floats(1e-6, 1.0))
def test_some_edge_is_always_kept(edges: int, keep: float) -> None:
    assert 0 <= dropped_edges(edges, keep) < edges


def test_impossible_parameters_are_an_error() -> None:
    with pytest.raises(ParameterError, match="width > 0"):
        BoundarySwap(width=0.0)
    with pytest.raises(ParameterError, match="`estimate` should be"):
        ReverseRanking(estimate="all")  # type: ignore[arg-type]
