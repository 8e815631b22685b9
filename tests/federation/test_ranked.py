"""Federations that vote on rankings: what a round does, that it learns, and that attackers get no further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import IPM, BoundarySwap, Dropout, LabelFlip, ReverseRanking, ShuffledRanking
from robustfl.defenses import FRL, Mean
from robustfl.errors import ParameterError
from robustfl.federation import Federation, Simulation, Task, assemble
from robustfl.federation.channels.dense import Dense
from robustfl.federation.channels.names import channel_named
from robustfl.federation.channels.rankings import RankedModel, Rankings
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Softmax
from robustfl.threats import Attack, Delivery, Fault, FaultView, Knowledge, RankAttack, RankView
from robustfl.threats.rankings import Layers
from tests.federation.worlds import SMALL_MLP, computed, population, rules, simulation, topology, weights

LOCAL: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 3}


def ranked(defense: Any = None, **values: Any) -> Simulation:
    return simulation(defense or FRL(), **{"model": SMALL_MLP, **LOCAL, **values})


def channel(sim: Simulation) -> Rankings:
    assert isinstance(sim.channel, Rankings)
    return sim.channel


def server(sim: Simulation) -> RankedModel:
    model = topology(sim).ownership.server
    assert isinstance(model, RankedModel)
    return model


ATTACKS: tuple[Attack, ...] = (
    ReverseRanking(),
    ReverseRanking(estimate="peers"),
    ReverseRanking(start_round=2, every=2),
    ShuffledRanking(),
    BoundarySwap(),
    BoundarySwap(width=0.2, estimate="own"),
    LabelFlip(),
)
each_attack = pytest.mark.parametrize("attack", [None, *ATTACKS], ids=repr)


# ------------------------------------------------------------------------------------------------- rounds


def test_the_defense_decides_the_channel() -> None:
    assert channel_named(FRL().channel) is Rankings
    assert channel_named(Mean().channel) is Dense


def test_a_round_trains_ranks_votes_and_hands_out_scores() -> None:
    sim = ranked()
    model, network = server(sim), channel(sim).network
    before, round = model.state.clone(), computed(sim)
    messages = round.sent
    assert round.own is None
    assert messages.shape == (6, sum(network.edges))
    layers = np.split(messages.numpy(), np.cumsum(network.edges)[:-1], axis=1)
    for layer, edges in zip(layers, network.edges, strict=True):
        assert np.array_equal(np.sort(layer, axis=1), np.tile(np.arange(edges), (6, 1)))
    aggregate = sim.channel.vector(sim.channel.ask(round.receivers[0], messages, round.honest.tolist()))
    expected = [np.argsort(np.argsort(layer, axis=1).sum(axis=0), kind="stable") for layer in layers]
    np.testing.assert_array_equal(aggregate.numpy(), np.concatenate(expected))
    model.step(aggregate)
    assert torch.equal(model.state, network.ranked(expected))
    assert torch.equal(model.weights, network.masked(model.state))
    assert not torch.equal(model.state, before)
    played = ranked()
    played.play(0)
    assert torch.equal(server(played).state, model.state)


@each_attack
def test_the_same_seed_gives_the_same_bits(attack: Attack | None) -> None:
    f = 2 if attack else 0
    one, again = ranked(attack=attack, f=f), ranked(attack=attack, f=f)
    first, second = one.run(), again.run()
    assert first.accuracy == second.accuracy
    assert first.loss == second.loss
    assert torch.equal(weights(one), weights(again))
    assert not torch.equal(weights(ranked(attack=attack, f=f, seed=1)), weights(one))


def test_clients_identities_and_batches_are_those_of_other_federations() -> None:
    sim = ranked(attack=LabelFlip(), f=2, participation=0.5)
    other = simulation(model=SMALL_MLP, attack=LabelFlip(), f=2, participation=0.5, **LOCAL)
    assert np.array_equal(sim.setup.malicious, other.setup.malicious)
    for number in range(4):
        mine, theirs = computed(sim, number), computed(other, number)
        assert np.array_equal(mine.malicious, theirs.malicious)
        assert np.array_equal(mine.honest, theirs.honest)
        assert mine.lesson is not None
        assert theirs.lesson is not None
        assert torch.equal(mine.lesson.index, theirs.lesson.index)


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("model", [SMALL_MLP, CNN(channels=(4,), norm="group")], ids=repr)
def test_all_models_and_ways_of_computing(model: Any, mode: Any) -> None:
    trace = ranked(model=model, client_mode=mode, attack=ReverseRanking(), f=1).run()
    assert not trace.diverged
    assert [number for number, _ in trace.accuracy] == [3, 4, 5, 6]
    assert trace.rejected_rows == 0


def test_one_step_a_round_and_settings_without_a_meaning_are_fine() -> None:
    sim = ranked(algorithm="fedsgd", local_steps=1, client_momentum=0.9)
    assert sim.run().held_rounds == 0
    assert torch.equal(weights(sim), weights(_run(algorithm="fedsgd", local_steps=1)))


def _run(**values: Any) -> Simulation:
    sim = ranked(**values)
    sim.run()
    return sim


# ------------------------------------------------------------------------------------------------- bytes, faults


def test_bytes_are_those_of_the_rankings() -> None:
    sim = ranked()
    assert channel(sim).network.edges == (80, 15)
    assert sim.channel.message_bytes() == ((80 * 7 + 15 * 4 + 7) // 8, (80 * 7 + 15 * 4 + 7) // 8)
    sparse = ranked(FRL(sparse=0.25))
    assert sparse.channel.message_bytes() == ((20 * 7 + 4 * 4 + 7) // 8, sim.channel.message_bytes()[1])
    trace = sparse.run()
    assert (trace.bytes_up, trace.bytes_down) == sparse.channel.message_bytes()
    assert computed(sparse).sent.shape == (6, 24)


def test_sparse_federations_run_under_attack() -> None:
    for attack in ATTACKS:
        trace = ranked(FRL(sparse=0.3), attack=attack, f=2).run()
        assert trace.rejected_rows == 0
        assert trace.held_rounds == 0


def test_lost_messages_do_not_vote() -> None:
    trace = ranked(faults=(Dropout(probability=0.5),)).run()
    assert trace.lost_rows > 0
    held = ranked(faults=(Dropout(probability=0.99),))
    start = server(held).state.clone()
    trace = held.run()
    assert trace.held_rounds >= 4
    if trace.held_rounds == 6:
        assert torch.equal(server(held).state, start)


class Garbage(RankAttack):
    """No permutation at all."""

    def craft(self, view: RankView) -> Layers:
        return [np.zeros((view.f, sent), int) for sent in view.sent]


class Cloning(RankAttack):
    """What everybody else sent, seen by an omniscient adversary."""

    knowledge = Knowledge.PEERS

    def craft(self, view: RankView) -> Layers:
        return [layer[: view.f].copy() for layer in view.honest]


def test_what_is_no_ranking_is_refused_and_the_honest_go_on() -> None:
    sim = ranked(attack=Garbage(), f=2)
    trace = sim.run()
    assert trace.rejected_rows == 2 * 6
    assert trace.held_rounds == 0
    server = sim.play(6).receivers[0]
    assert server.answer is not None
    assert server.answer.rejected.tolist() == np.isin(server.ids, sim.setup.malicious).tolist()
    assert ranked(attack=Cloning(), f=2).run().rejected_rows == 0


@dataclass(frozen=True, kw_only=True)
class Away(Fault):
    """The messages of one client get lost."""

    client: int

    def network(self, moment: FaultView) -> Delivery:
        return Delivery(lost=moment.ids == self.client)


def test_rows_that_are_refused_in_held_rounds_count() -> None:
    (honest,) = ranked(attack=Garbage(), f=5).setup.honest.tolist()
    trace = ranked(attack=Garbage(), f=5, faults=[Away(client=honest)]).run()
    assert (trace.held_rounds, trace.lost_rows, trace.rejected_rows) == (6, 6, 5 * 6)


# ------------------------------------------------------------------------------------------------- errors


def test_only_what_fits_is_played() -> None:
    with pytest.raises(ParameterError, match=r"need a RankAggregator. Found Mean"):
        assemble(population(SMALL_MLP), rules(**LOCAL), Mean(), channel=Rankings)
    with pytest.raises(ParameterError, match=r"IPM\(.*cannot meet FRL: clients speak the channel 'rankings'"):
        ranked(attack=IPM(), f=1)
    with pytest.raises(ParameterError, match="0 <= f < clients"):
        ranked(f=6)


# ------------------------------------------------------------------------------------------------- learning


def digits(defense: Any, attack: Attack | None = None) -> float:
    settings = Federation.model_validate(
        {
            "clients": 10,
            "rounds": 15,
            "evaluate_every": 15,
            "algorithm": "fedavg",
            "local_steps": 10,
            "server": {"learning_rate": 1.0},
        }
    )
    made = Task(data=Digits(), model=MLP(hidden=(128,)), partition=IID()).prepare(clients=10, seed=0)
    sim = assemble(made, settings, defense, attack=attack, f=2 if attack else 0)
    return sim.run().accuracy[-1][1]


@pytest.mark.slow
def test_votes_learn_digits_and_reversers_hardly_matter() -> None:
    rule = FRL(learning_rate=2.0)
    clean = digits(rule)
    assert clean > 0.85
    assert clean > digits(Mean()) - 0.1
    for attack in (ReverseRanking(), BoundarySwap(), ShuffledRanking()):
        assert digits(rule, attack) > clean - 0.1
    assert digits(Mean(), IPM(epsilon=10.0)) < 0.3


def test_convex_models_learn_too() -> None:
    assert ranked(model=Softmax(), rounds=10).run().accuracy[-1][1] > 0.8
