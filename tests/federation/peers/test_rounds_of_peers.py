"""A round of peers: own steps, letters, mixing, and who is absent; compared with the same done by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.attacks import (
    ALIE,
    IPM,
    Clones,
    Crash,
    Cut,
    Dissensus,
    Dropout,
    Echo,
    InSteps,
    LabelFlip,
    NonFinite,
    PeerWhiteBox,
    SignFlip,
    Stale,
    WhiteBox,
)
from robustfl.defenses import FRL, Gossip, Krum, Median, MoNNA, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation.data.partitions import Dirichlet, class_histogram
from robustfl.federation.graphs import Chain, Complete, Exponential, OnePeerExponential, Regular, Ring, Star
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.peers.networks import dense_weights, half_steps, network, peers, played, rules
from tests.federation.worlds import batches, population, simulation, task


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_peers_step_and_average_with_their_neighbours() -> None:
    sim = network()
    kept, made, weights = played(sim), sim.setup.population, dense_weights(sim)
    models = made.initial.repeat(8, 1)
    for drawn, after in zip(batches(made, 3, 1, 4), kept.models, strict=True):
        models = weights @ half_steps(made, models, drawn)
        close(after, models)
    assert all(not round.receivers for round in kept.rounds)


@pytest.mark.parametrize("mixings", [1, 3])
def test_several_local_steps_in_place_and_several_mixings(mixings: int) -> None:
    sim = network(algorithm="fedavg", local_steps=3, peers={"gossip_steps": mixings}, rounds=1)
    made = sim.setup.population
    half = half_steps(made, made.initial.repeat(8, 1), batches(made, 1, 3, 4)[0])
    close(played(sim).models[0], torch.matrix_power(dense_weights(sim), mixings) @ half)


def test_combining_first_mixes_what_peers_had_before_they_train() -> None:
    sim = network(peers={"order": "combine_then_adapt", "start": "own"})
    first, made, weights = peers(sim).own.clone(), sim.setup.population, dense_weights(sim)
    assert len({tuple(model.tolist()) for model in first}) == 8, "every peer has a first model of its own"
    models = first
    for drawn, after in zip(batches(made, 3, 1, 4), played(sim).models, strict=True):
        models = half_steps(made, weights @ models, drawn)
        close(after, models)


def test_a_start_from_zeros_leaves_the_population_of_other_trials_alone() -> None:
    shared = population(clients=8)
    before = shared.initial.clone()
    sim = network(world=shared, peers={"start": "zero"})
    assert not peers(sim).own.any(), "every peer has a model of zeros"
    assert not sim.setup.population.initial.any(), "attacks that know the first model are told so"
    assert torch.equal(shared.initial, before)
    assert before.any()


def test_momentum_takes_the_place_of_the_step() -> None:
    sim = network(client_momentum=0.5, rounds=2)
    made, weights = sim.setup.population, dense_weights(sim)
    models, memory = made.initial.repeat(8, 1), torch.zeros(8, made.d)
    for drawn, after in zip(batches(made, 2, 1, 4), played(sim).models, strict=True):
        memory = 0.5 * memory + 0.5 * (half_steps(made, models, drawn) - models)
        models = weights @ (models + memory)
        close(after, models)


def test_a_large_network_trains_in_chunks_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.federation.channels import models

    whole = played(network(algorithm="fedavg", local_steps=2)).models[-1]
    monkeypatch.setattr(models, "FEWEST", 3)
    monkeypatch.setattr(models, "NUMBERS", 1)
    close(played(network(algorithm="fedavg", local_steps=2)).models[-1], whole)


def test_any_rule_for_updates_mixes_every_neighbourhood() -> None:
    sim = network(TrimmedMean(f=1), topology=Regular(degree=4), declared=1, rounds=1, peers={"bound": 1})
    made, graph = sim.setup.population, peers(sim).network.graph()
    half = half_steps(made, made.initial.repeat(8, 1), batches(made, 1, 1, 4)[0])
    for peer, found in enumerate(played(sim).models[0]):
        rows = half[[peer, *graph.neighbours(peer).tolist()]]
        close(found, TrimmedMean(f=1)(rows))


@dataclass(frozen=True, kw_only=True)
class Numbered(UpdateAttack):
    """Sends every victim its own number in all coordinates; it remembers how often each was attacked."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    seen: ClassVar[dict[Any, Any]] = {}

    def craft(self, view: View) -> Tensor:
        view.memory["times"] = view.memory.get("times", 0) + 1
        self.seen[view.round, view.receiver] = (view.honest.clone(), view.honest_ids, view.f, view.memory["times"])
        assert isinstance(view.receiver, int)
        return view.full(float(view.receiver)).repeat(view.f, 1)


def test_every_victim_is_attacked_as_a_server_would_be() -> None:
    sim = network(attack=Numbered(), f=2, topology=Regular(degree=4), rounds=2, declared=2)
    Numbered.seen.clear()
    kept = played(sim)
    net, round = peers(sim).network, kept.rounds[0]
    bad, graph = np.flatnonzero(net.malicious), net.graph()
    half = dict(zip(round.honest.tolist(), round.sent, strict=True))
    for place, peer in enumerate(round.honest.tolist()):
        around = graph.neighbours(peer).tolist()
        count = len(set(around) & set(bad.tolist()))
        weights = dense_weights(sim)[peer]
        rows = {other: half.get(other, torch.full((sim.setup.population.d,), float(peer))) for other in [peer, *around]}
        mixed = sum((weights[other] * row for other, row in rows.items()), torch.zeros(()))
        close(torch.as_tensor(round.exchanges[0].mixed.models[place]), mixed)
        assert ((0, peer) in Numbered.seen) == bool(count)
        if count:
            honest, ids, f, _ = Numbered.seen[0, peer]
            assert ids == (peer, *[other for other in around if other not in bad])
            close(honest, torch.stack([half[other] for other in ids]))
            assert f == count
            assert Numbered.seen[1, peer][3] == 2, "every victim has a memory of its own"


def test_malicious_peers_follow_plain_averaging() -> None:
    sim = network(Median(), attack=SignFlip(), f=2, topology=Complete(), rounds=1)
    made = sim.setup.population
    half = half_steps(made, made.initial.repeat(8, 1), batches(made, 1, 1, 4)[0])
    models = played(sim).models[0]
    for peer in sim.setup.malicious.tolist():
        close(models[peer], half.mean(dim=0))


def test_steps_are_crafted_from_where_the_victim_was() -> None:
    sim = network(attack=InSteps() >> SignFlip(mode="mean"), f=1, topology=Complete(), rounds=1)
    kept = played(sim)
    round = kept.rounds[0]
    start, honest = sim.setup.population.initial, round.sent
    letter = start - (honest - start).mean(dim=0)
    close(torch.as_tensor(round.exchanges[0].mixed.models), ((honest.sum(dim=0) + letter) / 8).expand(7, -1))


@pytest.mark.parametrize("attack", [ALIE(), IPM(), Echo(), Dissensus(), InSteps() >> SignFlip(mode="mean")], ids=str)
def test_without_equivocation_everybody_gets_the_same_from_one_sender(attack: Any) -> None:
    letters: list[dict[int, set[tuple[float, ...]]]] = []

    sim = network(Gossip(), attack=attack, f=2, topology=Complete(), rounds=1, equivocation=False)
    forger = peers(sim).forger
    forged = forger.forged

    def noted(moment: Any) -> Any:
        answer = forged(moment)
        sent: dict[int, set[tuple[float, ...]]] = {}
        for line, senders in enumerate(moment.hearing.senders):
            for slot in np.flatnonzero(answer.index[line] >= 0).tolist():
                sent.setdefault(int(senders[slot]), set()).add(tuple(answer.letters[answer.index[line, slot]].tolist()))
        letters.append(sent)
        return answer

    forger.forged = noted  # type: ignore[method-assign]
    played(sim)
    assert set(letters[0]) == set(sim.setup.malicious.tolist())
    assert all(len(versions) == 1 for versions in letters[0].values())


def test_a_white_box_asks_the_victims_own_mixing() -> None:
    """What an attack is told that its letters do is what they do."""
    told: dict[int, Tensor] = {}

    @dataclass(frozen=True, kw_only=True)
    class Asking(UpdateAttack):
        knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE

        def craft(self, view: View) -> Tensor:
            crafted = view.mean().repeat(view.f, 1) * -0.5
            assert isinstance(view.receiver, int)
            told[view.receiver] = view.aggregate(torch.cat([crafted, view.honest]))
            return crafted

    for rule in (TrimmedMean(f=2), Krum(f=2), MoNNA(f=2), Gossip()):
        told.clear()
        sim = network(rule, attack=Asking(), f=2, topology=Complete(), rounds=1)
        kept = played(sim)
        assert set(told) == set(sim.setup.honest.tolist())
        for peer, answer in told.items():
            close(answer, kept.models[0][peer])


def test_a_batched_search_asks_all_victims_at_once_and_harms_more_than_echo() -> None:
    harmed = network(Gossip(), attack=PeerWhiteBox(), f=1, topology=Regular(degree=4), rounds=8).run()
    echoed = network(Gossip(), attack=Echo(), f=1, topology=Regular(degree=4), rounds=8).run()
    assert harmed.more["mean_peer"] < echoed.more["mean_peer"] - 0.2


def test_who_is_down_keeps_its_model_and_has_no_say() -> None:
    sim = network(faults=[Crash(probability=0.4)], rounds=4)
    kept, weights = played(sim), dense_weights(sim)
    before = sim.setup.population.initial.repeat(8, 1)
    missed = 0
    for round, after in zip(kept.rounds, kept.models, strict=True):
        down = np.setdiff1d(np.arange(8), round.honest)
        missed += len(down)
        close(after[down], before[down])
        half = before.clone()
        half[round.honest] = round.sent
        expected = weights.clone()
        expected[:, down] = 0
        expected[range(8), range(8)] += 1 - expected.sum(dim=1)
        close(after[round.honest], (expected @ half)[round.honest])
        before = after
    assert 0 < missed < 32


def test_lost_letters_are_single_edges_and_their_weight_stays_at_home() -> None:
    sim = network(faults=[Dropout(probability=0.3)], rounds=2, topology=Complete())
    kept = played(sim)
    lost = [exchange.lost for round in kept.rounds for exchange in round.exchanges]
    assert 0 < lost[0].sum() < 56
    assert not lost[0][:, 0].any(), "nobody loses its own model"
    assert (lost[0] != lost[1]).any(), "in every round other letters get lost"
    senders = kept.rounds[0].exchanges[0].hearing.senders
    counts = [int(lost[0][senders == peer].sum()) for peer in range(8)]
    assert any(0 < count < 7 for count in counts), "letters get lost, and not peers"
    mixed = kept.rounds[0].exchanges[0].mixed
    assert mixed.weights is not None
    assert mixed.weights.sum(axis=1) == pytest.approx(np.ones(8))
    assert (mixed.weights[lost[0]] == 0).all()
    assert sim.setup.faults.mailboxes["peers"].lost == sum(int(one.sum()) for one in lost)


def test_the_same_graph_and_the_same_malicious_peers_meet_every_rule_and_attack() -> None:
    topology = Regular(degree=4)
    sims = [
        network(rule, attack=attack, f=2, topology=topology, seed=3)
        for rule in (Gossip(), Median())
        for attack in (SignFlip(), Echo(), LabelFlip())
    ]
    assert len({peers(sim).network.graph().digest for sim in sims}) == 1
    assert len({tuple(sim.setup.malicious.tolist()) for sim in sims}) == 1
    other = network(topology=topology, seed=4)
    assert peers(other).network.graph().digest != peers(sims[0]).network.graph().digest


def test_redrawn_graphs_differ_from_round_to_round_and_malicious_peers_stay() -> None:
    sim = network(attack=Echo(), f=2, topology=Regular(degree=4), peers={"redraw": "round"})
    kept = played(sim)
    net = peers(sim).network
    assert len({net.graph(number).digest for number in range(3)}) == 3
    assert len({tuple(round.malicious.tolist()) for round in kept.rounds}) == 1
    again = peers(network(topology=Regular(degree=4), peers={"redraw": "round"})).network
    assert again.graph(2).digest == net.graph(2).digest


@pytest.mark.parametrize("bound", ["max", "share", "local", 1])
def test_what_rules_are_told(bound: Any) -> None:
    sim = network(Gossip(), declared=2, topology=Star(), peers={"bound": bound})
    net = peers(sim).network
    told = net.bounds(net.graph())
    if bound == 1:
        assert told.tolist() == [1] * 8
    elif bound == "local":
        each = [int(net.supposed[net.graph().neighbours(peer)].sum()) for peer in range(8)]
        assert told.tolist() == each
    elif bound == "share":  # 2 of 8 are a quarter of the 7 neighbours of the hub, and of the one of each leaf
        assert told.tolist() == [2, *[1] * 7]
    else:
        heard = [int(net.supposed[net.graph().neighbours(peer)].sum()) for peer in range(8) if not net.supposed[peer]]
        assert told.tolist() == [max(heard)] * 8


@pytest.mark.parametrize(
    ("topology", "clients", "attack", "f"),
    [
        (Ring(), 1, None, 0),
        (Ring(), 2, None, 0),
        (Ring(), 2, SignFlip(), 1),
        (Chain(), 8, Cut() >> SignFlip(), 2),
        (Star(), 8, SignFlip(), 7),
        (Complete(), 8, SignFlip(), 7),
        (Exponential(), 8, SignFlip(mode="mean"), 2),
        (OnePeerExponential(), 8, Echo(), 2),
    ],
    ids=["alone", "pair", "one against one", "cut chain", "star", "complete", "directed", "one peer at a time"],
)
def test_every_graph_ends(topology: Any, clients: int, attack: Any, f: int) -> None:
    for rule in (Gossip(), Krum(f=1), TrimmedMean(f=1)):
        trace = network(rule, topology=topology, clients=clients, attack=attack, f=f, rounds=3).run()
        assert len(trace.accuracy) == 3
        assert len(trace.more["peer_accuracy"]) == clients - f


def test_letters_that_are_no_models_are_refused_and_the_training_goes_on() -> None:
    trace = network(Gossip(), attack=NonFinite(), f=1, topology=Complete(), rounds=4).run()
    clean = network(Gossip(), attack=Echo(), f=1, topology=Complete(), rounds=4).run()
    assert not trace.diverged
    assert trace.more["rejected_letters"] == trace.rejected_rows == 7 * 4
    assert trace.more["mean_peer"] > clean.more["mean_peer"] - 0.1


def test_identities_stand_beside_the_network_or_beside_their_leader() -> None:
    outside = network(attack=Clones(count=3, outside=True) >> LabelFlip(), f=1, rounds=2, topology=Regular(degree=4))
    net = peers(outside).network
    assert (net.n, int(net.malicious.sum())) == (11, 3)
    assert net.graph().degree[8:].min() >= 1
    inside = network(attack=Clones(count=2) >> SignFlip(), f=2, rounds=2, topology=Regular(degree=4))
    net = peers(inside).network
    leaders = inside.setup.members.leaders
    assert net.n == 10
    for added in (8, 9):
        assert set(net.graph().neighbours(added)) >= set(net.graph().neighbours(int(leaders[added]))) - {8, 9}
    assert outside.run().accuracy
    assert inside.run().accuracy


def test_states_of_rules_belong_to_peers_and_rules_are_not_told_numbers() -> None:
    named: list[int] = []

    sim = network(Gossip(), rounds=1)
    mixer = peers(sim).mixer
    assert isinstance(mixer, Mixer)
    hoods = peers(sim)._hoods
    peers(sim)._hoods = lambda *given: named.extend(hoods(*given).ids.tolist()) or hoods(*given)  # type: ignore
    played(sim)
    assert sorted(named) == list(range(8))
    assert named != list(range(8))


def test_what_peers_cannot_have_is_refused() -> None:
    with pytest.raises(ParameterError, match="Gossip mixes the models of peers, which have no server"):
        simulation(Gossip())  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="FRL"):
        network(FRL())
    with pytest.raises(ParameterError, match="cannot meet Gossip: clients speak the channel 'peers'"):
        network(attack=WhiteBox(harm="loss"), f=1)
    with pytest.raises(ParameterError, match=r"Stale.* cannot happen to messages of Gossip"):
        network(faults=[Stale()])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"participation": 0.5}, "all peers of a `topology` take part"),
        ({"server": {"learning_rate": 0.1}}, "there is no server. Found server.learning_rate"),
        ({"server": {"mode": "asynchronous"}}, "there is no server. Found server.mode"),
        ({"message": "gradient"}, "peers of a `topology` send models"),
        ({"algorithm": "fedavg", "distillation": {}}, "peers of a `topology` send models"),
        ({"topology": None, "algorithm": "fedavg", "peers": {}}, "`peers` says how a network mixes. Give a `topology`"),
        ({"topology": "ring"}, "should be a family of graphs"),
        ({"peers": {"bound": True}}, "bound"),
        ({"peers": {"bound": -1}}, "bound"),
        ({"peers": {"bound": 100}}, "bound < clients. Found bound=100, clients=8"),
        ({"peers": {"gossip_steps": 0}}, "gossip_steps"),
        ({"peers": {"mix_every": 0}}, "mix_every"),
        ({"peers": {"mix_every": 4}}, "k <= rounds. Found peers.mix_every=4, rounds=3. Use the rule `alone`"),
        ({"peers": {"mix_every": "last", "order": "combine_then_adapt"}}, "no merging ends their training"),
        ({"peers": {"merge": "all", "order": "combine_then_adapt"}}, "no merging ends their training"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        rules(**values)


def test_data_along_a_network_put_different_classes_on_its_two_sides() -> None:
    made = task(partition=Dirichlet(alpha=0.1)).prepare(clients=8, seed=0)
    sim = network(world=made, topology=Chain(), peers={"arrange": "along"})
    main = class_histogram(made.dataset.train_y, sim.setup.population.parts, 3).argmax(axis=1)
    assert main.tolist() in (sorted(main.tolist()), sorted(main.tolist(), reverse=True))
    assert sorted(map(len, sim.setup.population.parts)) == sorted(map(len, made.parts))
