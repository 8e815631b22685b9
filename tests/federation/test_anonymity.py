"""What a defense sees tells nothing about who sent it: neither the places of rows nor the names of members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.attacks import IPM, Clones, DuplicateClient, LabelFlip, ReverseRanking, SignFlip, WhiteBox, Whitewash
from robustfl.defenses import FRL, RFFL, FoolsGold, Krum, Mean, Median
from robustfl.federation.anonymity import ARRIVAL, IMAGINED, KEPT_ROWS, Pseudonyms, row_order
from robustfl.federation.streams import stream
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, simulation, weights


def test_every_place_is_equally_likely_and_orders_are_independent() -> None:
    orders = np.array([row_order(3, number, "server", 8) for number in range(2000)])
    for place in range(8):
        assert stats.chisquare(np.bincount(orders[:, place], minlength=8)).pvalue > 1e-4
    for other in (row_order(4, 0, "server", 8), row_order(3, 0, "peer 1", 8), row_order(3, 0, "server", 8, IMAGINED)):
        assert other.tolist() != orders[0].tolist()
    assert row_order(3, 0, "server", 8, ARRIVAL).tolist() == orders[0].tolist()


def test_malicious_rows_stand_anywhere_and_rows_keep_their_ids_and_names() -> None:
    kept = Kept()
    sim = simulation(attack=SignFlip(scale=100.0), f=2, rounds=200, clients=6, observers=[kept])
    sim.run()
    places = np.zeros(6)
    for round in kept.rounds:
        server = round.receivers[0]
        assert sorted(server.ids.tolist()) == list(range(6))
        assert server.names == sim.setup.pseudonyms.of(server.ids.tolist())
        bad = np.isin(server.ids, server.malicious)
        assert server.arrived.norm(dim=1).argsort()[-2:].sort().values.tolist() == np.flatnonzero(bad).tolist()
        places += bad
    assert stats.chisquare(places).pvalue > 1e-4


def test_names_stay_over_the_rounds_and_tell_neither_numbers_nor_identities() -> None:
    kept = Kept()
    simulation(FoolsGold(), attack=Clones(count=3, outside=True) >> LabelFlip(), f=2, observers=[kept]).run()
    first = dict(zip(kept.rounds[0].receivers[0].ids.tolist(), kept.rounds[0].receivers[0].names, strict=True))
    for round in kept.rounds:
        server = round.receivers[0]
        assert dict(zip(server.ids.tolist(), server.names, strict=True)) == first
    assert all(isinstance(name, int) and name > 1000 for name in first.values())
    ranks = [
        np.argsort(np.argsort(Pseudonyms(seed).of(range(10))))[CLIENTS:].mean() for seed in range(400)
    ]  # added identities are not the larger numbers
    assert abs(np.mean(ranks) - 4.5) < 0.3


def test_pseudonyms_differ_between_seeds_and_purposes_and_are_never_mixed_up() -> None:
    names = range(20_000)
    one, two, other = Pseudonyms(0).of(names), Pseudonyms(1).of(names), Pseudonyms(0, "names for a twin").of(names)
    assert len(set(one)) == len(names)
    assert set(one).isdisjoint(two)
    assert set(one).isdisjoint(other)
    assert Pseudonyms(0).of([5, -6, 5]) == [one[5], Pseudonyms(0).of([-6])[0], one[5]]


def test_answers_are_read_with_the_members_own_names() -> None:
    kept = Kept()
    sim = simulation(RFFL(), model=SMALL_MLP, rounds=4, observers=[kept])
    trace = sim.run()
    for round in kept.rounds:
        answer = round.receivers[0].answer
        assert answer is not None
        assert list(answer.info["ids"]) == round.receivers[0].ids.tolist()
        assert set(answer.info["quotas"]) <= set(range(CLIENTS))
    assert max(trace.more["reputations"]) > 0.0
    flagged = simulation(FoolsGold(), attack=Whitewash(count=2, lifetime=2) >> LabelFlip(), f=1, observers=[kept])
    flagged.run()
    decided = kept.rounds[-1].receivers[0].answer
    assert decided is not None
    named = {decision.client for decision in decided.info["decisions"]}
    assert named == {int(name) for name in flagged.setup.members.names(kept.rounds[-1].receivers[0].ids)}


def test_a_client_that_takes_part_twice_has_two_names() -> None:
    kept = Kept()
    simulation(faults=[DuplicateClient(share=0.5)], rounds=3, observers=[kept]).run()
    for round in kept.rounds:
        names = round.receivers[0].names
        assert len(set(names)) == len(names) > CLIENTS


def test_the_order_decides_nothing_for_rules_that_do_not_go_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (Median(), Krum(f=1)):
        values: dict[str, Any] = {"f": 1, "attack": IPM(), "rounds": 8}
        one = simulation(rule, **values)
        one.run()
        with monkeypatch.context() as patched:
            patched.setattr("robustfl.federation.engine.row_order", lambda *given: np.arange(given[3]))
            two = simulation(rule, **values)
            two.run()
        np.testing.assert_allclose(weights(one), weights(two), rtol=1e-5, atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class Witness(Aggregator):
    """The mean, which writes down which of its rows are zero."""

    seen: ClassVar[list[list[bool]]] = []

    def _aggregate(self, rows: Rows) -> Outcome:
        self.seen.append((rows.squared_norms == 0).tolist())
        share = np.full(rows.n, 1.0 / rows.n)
        return Outcome(rows.combine(share), share)


@dataclass(frozen=True, kw_only=True)
class Asking(UpdateAttack):
    """Asks the defense twice about zeros, and sends zeros; it notes where its questions begin."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE

    begun: ClassVar[list[int]] = []

    def craft(self, view: View) -> Tensor:
        self.begun.append(len(Witness.seen))
        zeros = view.full(0.0).repeat(view.f, 1)
        for _ in range(2):
            view.aggregate(torch.cat([zeros, view.honest]))
        return zeros


def test_an_adversary_asks_in_another_order_than_that_in_which_rows_arrive() -> None:
    Witness.seen.clear()
    Asking.begun.clear()
    rounds = 60
    simulation(Witness(), attack=Asking(), f=2, clients=10, rounds=rounds, evaluate_every=rounds).run()
    asked, arrived = [], []
    for begin, end in pairwise([*Asking.begun, len(Witness.seen)]):
        own = Witness.seen[begin:end]
        assert own[0] == own[1], "all questions of a round have one order"
        asked.append(own[0])
        arrived.append(own[-1])  # the question that counts is the last
    assert len({tuple(row) for row in asked}) > rounds // 3
    same = np.mean([one == two for one, two in zip(asked, arrived, strict=True)])
    assert same < 0.2  # 1 in 45 by chance
    assert stats.chisquare(np.sum(asked, axis=0)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("make", "attack"), [(Mean, WhiteBox(candidates=5)), (FRL, ReverseRanking())], ids=["updates", "rankings"]
)
def test_what_an_adversary_learns_does_not_depend_on_the_order_of_its_rows(
    make: Callable[[], Any], attack: Any
) -> None:
    """The order is undone nowhere: the answer is one vector, or one ranking, for all rows."""
    one, two = (simulation(make(), model=SMALL_MLP, attack=attack, f=2, rounds=3) for _ in range(2))
    one.run()
    two.run()
    assert weights(one).tolist() == weights(two).tolist()


@pytest.mark.parametrize("rows", [1, 8, KEPT_ROWS, KEPT_ROWS + 1])
def test_an_order_that_is_kept_is_the_one_of_its_stream_whatever_its_owner_does_to_it(rows: int) -> None:
    drawn = stream(3, f"{ARRIVAL}, round 5, receiver server").permutation(rows)
    for _ in range(2):
        order = row_order(3, 5, "server", rows)
        assert order.tolist() == drawn.tolist()
        order[:] = 0


def test_a_tuple_of_pseudonyms_is_restored_and_others_stay() -> None:
    hidden = Pseudonyms(seed=0)
    (one,) = hidden.of([1])
    assert hidden.restored((one, 7, one)) == (1, 7, 1)
    assert hidden.restored((one, True, 0.5, None)) == (1, True, 0.5, None)
    assert hidden.restored(()) == ()
