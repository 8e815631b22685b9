"""Faults in a federation: where they strike, in which order, on whom, and what the server makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustfl.attacks import (
    AWGN,
    IPM,
    BitFlip,
    Churn,
    Compress,
    Crash,
    Dropout,
    DuplicateClient,
    DuplicateSamples,
    EmptyClient,
    FeatureNoise,
    LabelNoise,
    NaNClient,
    OutOfOrder,
    Partial,
    Replay,
    Stale,
    Straggler,
)
from robustfl.defenses import FRL, RFFL, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation.faults import Mailbox, told_apart
from robustfl.threats import Delivery, Fault
from tests.federation.received import received
from tests.federation.worlds import CLIENTS, batches, gradient, population, simulation, weights

EVERY: tuple[Fault, ...] = (
    Dropout(),
    Crash(),
    Churn(),
    Straggler(late="stale"),
    Stale(rounds=2),
    Partial(alpha=3.0),
    AWGN(),
    BitFlip(rate=1e-5),
    Compress(keep=0.3, feedback=True),
    LabelNoise(),
    FeatureNoise(),
    DuplicateClient(),
    DuplicateSamples(),
    Replay(rounds=1),
    NaNClient(),
    EmptyClient(),
    OutOfOrder(),
)


def test_what_one_fault_does_does_not_depend_on_the_others() -> None:
    faults = (Dropout(probability=0.3), Crash(probability=0.3), Partial(alpha=3.0, beta=1.0))
    alone = [received(fault).senders for fault in faults]
    expected = [[i for i in range(CLIENTS) if all(i in ids for ids in rounds)] for rounds in zip(*alone, strict=True)]
    for order in (faults, faults[::-1]):
        assert received(*order).senders == expected


def test_noise_is_the_same_whoever_is_lost() -> None:
    noisy, both = received(AWGN()), received(Dropout(probability=0.5), AWGN())
    ids, rows = both.rounds[0]
    assert 0 < len(ids) < CLIENTS
    torch.testing.assert_close(rows, noisy.rounds[0][1][ids], rtol=0, atol=0)


def test_faults_of_one_name_have_streams_of_their_own_and_grow_with_their_rate() -> None:
    once, twice = received(Dropout(probability=0.5)), received(Dropout(probability=0.5), Dropout(probability=0.5))
    little = received(Dropout(probability=0.2))
    for first, second, more in zip(once.senders, twice.senders, little.senders, strict=True):
        assert set(second) <= set(first) <= set(more)
    assert twice.trace.lost_rows > once.trace.lost_rows > little.trace.lost_rows


@pytest.mark.parametrize("fault", EVERY, ids=str)
def test_a_fault_repeats_itself_and_composes_with_an_attack(fault: Fault) -> None:
    pair = [
        simulation(TrimmedMean(f=1), attack=IPM(), f=1, faults=[fault, Dropout(probability=0.2)], client_momentum=0.5)
        for _ in range(2)
    ]
    traces = [sim.run() for sim in pair]
    assert torch.equal(weights(pair[0]), weights(pair[1]))
    assert bool(weights(pair[0]).isfinite().all())
    assert traces[0].lost_rows == traces[1].lost_rows > 0
    assert traces[0].accuracy == traces[1].accuracy


@pytest.mark.parametrize("fault", EVERY, ids=str)
def test_a_fault_changes_the_outcome_only_in_its_rounds(fault: Fault) -> None:
    plain = simulation(rounds=4)
    plain.run()
    if fault.strikes("data"):
        assert not torch.equal(played(fault), weights(plain))
        return
    window = {"start_round": 1, "share": 1.0}
    never = type(fault)(**{**fault.parameters(), **window, "start_round": 99})
    assert torch.equal(played(never), weights(plain))
    if not isinstance(fault, NaNClient):  # all clients at once would only hold the rounds
        soon = type(fault)(**{**fault.parameters(), **window})
        first = received(soon, rounds=2)
        torch.testing.assert_close(first.rounds[0][1], received(rounds=2).rounds[0][1], rtol=0, atol=0)


def played(*faults: Fault) -> Tensor:
    sim = simulation(rounds=4, faults=faults)
    sim.run()
    return weights(sim)


def test_a_fault_hits_crafted_messages_after_the_attack() -> None:
    plain, noisy = received(attack=IPM(), f=2), received(Compress(method="sign"), attack=IPM(), f=2)
    crafted = plain.rounds[0][1]
    torch.testing.assert_close(noisy.rounds[0][1], crafted.sign() * crafted.abs().mean(dim=1, keepdim=True))


# -- computing


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_stale_clients_compute_with_the_model_of_some_rounds_ago(mode: str) -> None:
    world = population()
    sim = simulation(world=world, faults=[Stale(rounds=2)], rounds=5, server={"learning_rate": 0.5}, client_mode=mode)
    sim.run()
    models = [world.initial.clone()]
    for number, drawn in enumerate(batches(world, 5, 1, 4)):
        old = models[max(0, number - 2)]
        step = torch.stack([gradient(world, old, x[0], y[0]) for x, y in drawn]).mean(dim=0)
        models.append(models[-1] - 0.5 * step)
    torch.testing.assert_close(weights(sim), models[-1], rtol=1e-4, atol=1e-5)


def test_a_share_of_stale_clients_leaves_the_others_up_to_date() -> None:
    fresh, mixed = received(rounds=1), received(Stale(rounds=3, share=0.5), rounds=3)
    torch.testing.assert_close(mixed.rounds[0][1], fresh.rounds[0][1], rtol=0, atol=0)  # nothing is old yet
    all_stale = received(Stale(rounds=3), rounds=3)
    same = (mixed.rounds[1][1] - all_stale.rounds[1][1]).abs().amax(dim=1) < 1e-6
    assert 0 < int(same.sum()) < CLIENTS


# -- the network


def rows(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def exchange(box: Mailbox, number: int, values: Any, ids: Any = None, **fate: Any) -> dict[int, float]:
    senders = np.arange(len(values)) if ids is None else np.asarray(ids, dtype=np.int64)
    got, who = box.exchange(number, rows(*values), senders, [Delivery(**{k: np.asarray(v) for k, v in fate.items()})])
    return dict(zip(who.tolist(), got[:, 0].tolist(), strict=True))


def test_a_late_message_counts_where_no_newer_one_has_come() -> None:
    box = Mailbox()
    assert exchange(box, 0, [10, 20], late=[1, 2]) == {}
    assert exchange(box, 1, [11, 21], lost=[True, False]) == {0: 10, 1: 21}
    assert exchange(box, 2, [12, 22], lost=[True, True]) == {}  # 20 of client 1 is older than 21
    assert (box.lost, box.late, box.surplus) == (3, 1, 1)


def test_copies_are_dropped_when_they_come() -> None:
    box = Mailbox()
    assert exchange(box, 0, [10], again=[1]) == {0: 10}
    assert exchange(box, 1, [11], lost=[True]) == {}
    assert box.report() == {"surplus_rows": 1}


def test_a_message_that_overtook_another_is_the_one_that_counts() -> None:
    box = Mailbox()
    exchange(box, 0, [10.0], late=[2])
    exchange(box, 1, [11.0], late=[1])
    assert exchange(box, 2, [12.0], lost=[True]) == {0: 11}


def test_latecomers_are_filed_behind_those_of_the_round() -> None:
    box = Mailbox()
    exchange(box, 0, [1.0, 2.0, 3.0], ids=[4, 0, 2], late=[1, 1, 1])
    assert list(exchange(box, 1, [5.0, 6.0], ids=[5, 2], lost=[False, True]).items()) == [
        (5, 5),
        (2, 3),
        (0, 2),
        (4, 1),
    ]


@settings(max_examples=40, deadline=None)
@given(again=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=6))
def test_copies_never_change_what_the_server_takes(again: list[list[int]]) -> None:
    box = Mailbox()
    for number, copies in enumerate(again):
        values = [10.0 * number + client for client in range(3)]
        assert exchange(box, number, values, again=copies) == dict(enumerate(values))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_server_takes_each_message_at_most_once_and_in_order(data: st.DataObject) -> None:
    box, taken = Mailbox(), []
    for number in range(6):
        late, again = (data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=2)) for _ in range(2))
        got = exchange(box, number, [float(number)] * 2, late=late, again=again)
        taken += [(client, sent) for client, sent in got.items()]
        assert all(sent <= number for sent in got.values())
    for client in (0, 1):
        sent = [when for who, when in taken if who == client]
        assert sent == sorted(set(sent))


def test_order_and_copies_change_not_a_bit() -> None:
    plain, shuffled = simulation(), simulation(faults=[OutOfOrder(probability=0.0, copies=1.0)])
    plain.run()
    assert shuffled.run().more["surplus_rows"] > 0
    assert torch.equal(weights(plain), weights(shuffled))


def test_late_messages_of_clients_that_are_not_asked_are_used() -> None:
    sim = received(OutOfOrder(probability=0.8, copies=0.0), participation=0.5, rounds=12)
    assert sim.trace.more["late_rows"] > 0
    assert any(len(ids) > 3 for ids in sim.senders)
    assert all(len(set(ids)) == len(ids) for ids in sim.senders)


@pytest.mark.parametrize("fault", [Crash(probability=1.0), NaNClient(share=1.0)], ids=str)
def test_rounds_without_survivors_leave_the_model_as_it_is(fault: Fault) -> None:
    sim = simulation(faults=[fault], server={"momentum": 0.9}, client_momentum=0.9)
    trace = sim.run()
    assert trace.held_rounds == 6
    assert torch.equal(weights(sim), sim.setup.population.initial)
    assert not trace.diverged


@pytest.mark.parametrize("rule", [Mean(), RFFL()], ids=str)
def test_rows_that_are_refused_in_held_rounds_count(rule: Any) -> None:
    trace = simulation(rule, faults=[NaNClient(share=1.0), Dropout(probability=0.5)]).run()
    assert trace.held_rounds == 6
    assert 0 < trace.rejected_rows == 6 * CLIENTS - trace.lost_rows


@pytest.mark.parametrize(
    ("rule", "share", "rounds"),
    [
        (TrimmedMean(f=1), 0.34, 6),  # two of six clients: one more than the rule was told
        (TrimmedMean(f=2), 0.17, None),
        (Median(), 0.34, None),  # is told nothing
        (TrimmedMean(f=2), 0.34, None),  # four rows are too few for an answer
    ],
    ids=["more", "as many", "not told", "held"],
)
def test_rounds_in_which_more_clients_are_caught_than_told_count(rule: Any, share: float, rounds: int | None) -> None:
    trace = simulation(rule, faults=[NaNClient(share=share)]).run()
    assert trace.rejected_rows > 0
    assert trace.more.get("exceeded_rounds") == rounds


def test_a_client_that_is_registered_twice_counts_twice() -> None:
    sim = received(DuplicateClient(share=0.5), rounds=1, server={"learning_rate": 1.0})
    ids, messages = sim.rounds[0]
    assert set(ids) == set(range(CLIENTS))
    assert len(ids) == CLIENTS + 3
    assert max(ids.count(client) for client in range(CLIENTS)) == 2
    assert sim.trace.rejected_rows == 0
    expected = sim.setup.population.initial - messages.mean(dim=0)
    torch.testing.assert_close(weights(sim.sim), expected, rtol=1e-5, atol=1e-6)


def test_second_names_are_different() -> None:
    assert told_apart([3, 0, 7]) == [3, 0, 7]
    assert told_apart([3, 0, 3, 0]) == [3, 0, -4, -1]


@pytest.mark.parametrize("fault", [AWGN(), Stale(), Churn(), DuplicateClient()], ids=str)
def test_what_cannot_happen_to_rankings_is_refused(fault: Fault) -> None:
    with pytest.raises(ParameterError, match="cannot happen to messages of FRL, those of the channel 'rankings'"):
        simulation(FRL(), faults=[fault])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fault", [AWGN(), Dropout(probability=0.3), LabelNoise(), OutOfOrder(), EmptyClient()], ids=str
)
def test_rewards_meet_faults(fault: Fault) -> None:
    trace = simulation(RFFL(), faults=[fault]).run()
    assert len(trace.accuracy) == 4
    assert len(trace.more["client_accuracy"]) == CLIENTS
