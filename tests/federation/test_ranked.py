"""Federations that vote on rankings: what a round does, that it learns, and that attackers get no further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import IPM, BoundarySwap, Dropout, LabelFlip, ReverseRanking, ShuffledRanking
from robustfl.defenses import FRL, Mean
from robustfl.errors import ParameterError
from robustfl.federation import Federation, Simulation, Task
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Softmax
from robustfl.federation.ranked import RankedSimulation
from robustfl.federation.simulations import simulation_for
from robustfl.threats import Attack, Knowledge, RankAttack, RankView
from robustfl.threats.rankings import Layers
from tests.federation.worlds import SMALL_MLP, population, rules, simulation

LOCAL: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 3}


def ranked(
    defense: Any = None, *, attack: Attack | None = None, f: int = 0, faults: Any = (), seed: int = 0, **values: Any
) -> RankedSimulation:
    settings = rules(**{**LOCAL, **values})
    made = population(SMALL_MLP, settings.clients, seed)
    return RankedSimulation(made, settings, defense or FRL(), attack=attack, f=f, faults=faults, seed=seed)


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


def test_the_channel_decides_the_simulation() -> None:
    assert simulation_for(FRL()) is RankedSimulation
    assert simulation_for(Mean()) is Simulation


def test_a_round_trains_ranks_votes_and_hands_out_scores() -> None:
    sim = ranked()
    before = sim.scores.clone()
    malicious, honest = sim.sample()
    own, messages = sim.honest_messages(0, malicious, honest)
    assert own is None
    assert messages.shape == (6, sum(sim.network.edges))
    layers = np.split(messages.numpy(), np.cumsum(sim.network.edges)[:-1], axis=1)
    for layer, edges in zip(layers, sim.network.edges, strict=True):
        assert np.array_equal(np.sort(layer, axis=1), np.tile(np.arange(edges), (6, 1)))
    aggregate = sim.aggregated(messages, honest)
    assert aggregate is not None
    expected = [np.argsort(np.argsort(layer, axis=1).sum(axis=0), kind="stable") for layer in layers]
    np.testing.assert_array_equal(aggregate.numpy(), np.concatenate(expected))
    sim.apply(aggregate)
    assert torch.equal(sim.scores, sim.network.ranked(expected))
    assert torch.equal(sim.weights, sim.network.masked(sim.scores))
    assert not torch.equal(sim.scores, before)


@each_attack
def test_the_same_seed_gives_the_same_bits(attack: Attack | None) -> None:
    f = 2 if attack else 0
    one, again = ranked(attack=attack, f=f), ranked(attack=attack, f=f)
    first, second = one.run(), again.run()
    assert first.accuracy == second.accuracy
    assert first.loss == second.loss
    assert torch.equal(one.weights, again.weights)
    assert not torch.equal(ranked(attack=attack, f=f, seed=1).weights, one.weights)


def test_clients_identities_and_batches_are_those_of_other_federations() -> None:
    sim = ranked(attack=LabelFlip(), f=2, participation=0.5)
    other = simulation(model=SMALL_MLP, attack=LabelFlip(), f=2, participation=0.5, **LOCAL)
    assert np.array_equal(sim.malicious, other.malicious)
    for number in range(4):
        mine, theirs = sim.sample(), other.sample()
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
        sim.honest_messages(number, *mine)
        other.honest_messages(number, *theirs)
        assert sim.rng["batches"].bit_generator.state == other.rng["batches"].bit_generator.state


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("model", [SMALL_MLP, CNN(channels=(4,), norm="group")], ids=repr)
def test_all_models_and_ways_of_computing(model: Any, mode: Any) -> None:
    settings = rules(**LOCAL, client_mode=mode)
    sim = RankedSimulation(population(model), settings, FRL(), attack=ReverseRanking(), f=1)
    trace = sim.run()
    assert not trace.diverged
    assert [number for number, _ in trace.accuracy] == [3, 6]
    assert trace.rejected_rows == 0


def test_one_step_a_round_and_settings_without_a_meaning_are_fine() -> None:
    sim = ranked(algorithm="fedsgd", local_steps=1, client_momentum=0.9)
    assert sim.run().held_rounds == 0
    assert torch.equal(sim.weights, _run(algorithm="fedsgd", local_steps=1).weights)


def _run(**values: Any) -> RankedSimulation:
    sim = ranked(**values)
    sim.run()
    return sim


# ------------------------------------------------------------------------------------------------- bytes, faults


def test_bytes_are_those_of_the_rankings() -> None:
    sim = ranked()
    assert sim.network.edges == (80, 15)
    assert sim.message_bytes() == ((80 * 7 + 15 * 4 + 7) // 8, (80 * 7 + 15 * 4 + 7) // 8)
    sparse = ranked(FRL(sparse=0.25))
    assert sparse.message_bytes() == ((20 * 7 + 4 * 4 + 7) // 8, sim.message_bytes()[1])
    malicious, honest = sparse.sample()
    assert sparse.honest_messages(0, malicious, honest)[1].shape == (6, 24)


def test_sparse_federations_run_under_attack() -> None:
    for attack in ATTACKS:
        trace = ranked(FRL(sparse=0.3), attack=attack, f=2).run()
        assert trace.rejected_rows == 0
        assert trace.held_rounds == 0


def test_lost_messages_do_not_vote() -> None:
    trace = ranked(faults=(Dropout(probability=0.5),)).run()
    assert trace.lost_rows > 0
    held = ranked(faults=(Dropout(probability=0.99),))
    start = held.scores.clone()
    trace = held.run()
    assert trace.held_rounds >= 4
    if trace.held_rounds == 6:
        assert torch.equal(held.scores, start)


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
    assert sim.answer is not None
    assert sim.answer.rejected.tolist() == [True, True, False, False, False, False]
    assert ranked(attack=Cloning(), f=2).run().rejected_rows == 0


# ------------------------------------------------------------------------------------------------- errors


def test_only_what_fits_is_played() -> None:
    with pytest.raises(ParameterError, match=r"need a RankAggregator. Found Mean"):
        ranked(Mean())
    with pytest.raises(ParameterError, match="other messages than rankings"):
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
    sim = simulation_for(defense)(made, settings, defense, attack=attack, f=2 if attack else 0)
    return sim.run().accuracy[-1][1]


def test_votes_learn_digits_and_reversers_hardly_matter() -> None:
    rule = FRL(learning_rate=2.0)
    clean = digits(rule)
    assert clean > 0.85
    assert clean > digits(Mean()) - 0.1
    for attack in (ReverseRanking(), BoundarySwap(), ShuffledRanking()):
        assert digits(rule, attack) > clean - 0.1
    assert digits(Mean(), IPM(epsilon=10.0)) < 0.3


def test_convex_models_learn_too() -> None:
    settings = rules(**LOCAL, rounds=10)
    sim = RankedSimulation(population(Softmax()), settings, FRL())
    assert sim.run().accuracy[-1][1] > 0.8
