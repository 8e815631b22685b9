"""Peers who seldom mix: every few rounds, in the last one, or all with all in the end; compared with a loop by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import BadNets, Churn, Crash, Cut, Dissensus, InSteps, LabelFlip, SignFlip
from robustfl.defenses import Gossip, Median, SybilWall
from robustfl.errors import ParameterError
from robustfl.evaluation.results.training import training_of
from robustfl.federation.graphs import Chain, Complete, Regular, Ring
from robustfl.federation.observers.conduct import VARIES
from robustfl.federation.peers.hearing import Exchange
from robustfl.federation.settings import Peers
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.peers.networks import dense_weights, half_steps, network, peers, played, rules
from tests.federation.peers.test_conduct_of_mixers import Varies
from tests.federation.worlds import batches


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def mixed_rounds(kept: Any) -> list[int]:
    return [round.number for round in kept.rounds if round.exchanges]


# -- which rounds


@pytest.mark.parametrize(
    ("values", "rounds", "expected"),
    [
        ({}, 4, (0, 1, 2, 3)),
        ({"mix_every": 2}, 5, (1, 3)),
        ({"mix_every": 3}, 3, (2,)),
        ({"mix_every": "last"}, 5, (4,)),
        ({"mix_every": 2, "merge": "all"}, 5, (1, 3, 4)),
        ({"mix_every": "last", "merge": "all"}, 5, (4,)),
        ({"merge": "all"}, 1, (0,)),
    ],
)
def test_the_rounds_with_letters(values: dict[str, Any], rounds: int, expected: tuple[int, ...]) -> None:
    assert Peers.model_validate(values).mixings(rounds) == expected
    kept = played(network(rounds=rounds, peers=values))
    assert tuple(mixed_rounds(kept)) == expected


def test_peers_train_alone_between_two_mixings() -> None:
    sim = network(rounds=5, peers={"mix_every": 2})
    made, weights, kept = sim.setup.population, dense_weights(sim), played(sim)
    models = made.initial.repeat(8, 1)
    for number, (drawn, after) in enumerate(zip(batches(made, 5, 1, 4), kept.models, strict=True)):
        models = half_steps(made, models, drawn)
        models = weights @ models if number in (1, 3) else models
        close(after, models)


def test_combining_first_mixes_in_the_same_rounds() -> None:
    sim = network(rounds=4, peers={"mix_every": 2, "order": "combine_then_adapt", "start": "own"})
    made, weights, models = sim.setup.population, dense_weights(sim), peers(sim).own.clone()
    for number, (drawn, after) in enumerate(zip(batches(made, 4, 1, 4), played(sim).models, strict=True)):
        models = weights @ models if number in (1, 3) else models
        models = half_steps(made, models, drawn)
        close(after, models)


@pytest.mark.parametrize("every", [1, 2, "last"])
def test_one_merging_in_the_end_gives_everybody_the_mean_of_all(every: Any) -> None:
    sim = network(rounds=4, peers={"mix_every": every, "merge": "all"})
    made, weights, kept = sim.setup.population, dense_weights(sim), played(sim)
    models = made.initial.repeat(8, 1)
    for number, (drawn, after) in enumerate(zip(batches(made, 4, 1, 4), kept.models, strict=True)):
        models = half_steps(made, models, drawn)
        if number == 3:
            models = models.mean(dim=0).repeat(8, 1)
        elif every == 1 or (every == 2 and number == 1):
            models = weights @ models
        close(after, models)
    assert float((kept.models[-1] - kept.models[-1][0]).abs().max()) < 1e-6
    assert float((kept.models[-2] - kept.models[-2][0]).abs().max()) > 1e-3


def test_a_merging_over_the_complete_graph_is_a_last_mixing_over_it() -> None:
    first = played(network(Median(), rounds=3, topology=Ring(), peers={"mix_every": "last", "merge": "all"}))
    other = played(network(Median(), rounds=3, topology=Complete(), peers={"mix_every": "last"}))
    for one, two in zip(first.models, other.models, strict=True):
        assert torch.equal(one, two)


def test_the_fastest_weights_of_all_with_all_are_equal_ones() -> None:
    kept = played(network(rounds=2, peers={"weights": "fastest", "merge": "all"}))
    assert len(kept.rounds[0].exchanges[0].hearing.senders[0]) == 3
    weights = kept.rounds[1].exchanges[0].hearing.weights
    np.testing.assert_allclose(weights, np.full((8, 8), 1 / 8), rtol=1e-12)


# -- what is sent, and what is measured


def test_letters_and_bytes_are_those_that_were_sent() -> None:
    size = 0.0
    for values, letters in (
        ({"mix_every": 2}, 2 * 16),
        ({"mix_every": "last"}, 16),
        ({"merge": "all"}, 4 * 16 + 8 * 7),
        ({"mix_every": "last", "merge": "all"}, 8 * 7),
        ({"mix_every": 2, "merge": "all", "gossip_steps": 3}, 3 * (2 * 16 + 8 * 7)),
    ):
        sim = network(rounds=5, peers=values)
        trace, size = sim.run(), 4.0 * sim.setup.population.d
        assert trace.more["letters"] == letters, values
        assert trace.bytes_up == trace.bytes_down == pytest.approx(letters / 8 / 5 * size)
    assert trace.more["edge_bytes"] == pytest.approx(3 * 3 / 5 * size)


def test_the_accuracy_is_that_of_the_merged_models_alone() -> None:
    merged, usual = (network(rounds=20, evaluate_every=4, peers=v) for v in ({"mix_every": "last"}, {"mix_every": 4}))
    assert (merged.setup.settings.tail, usual.setup.settings.tail) == (1, 5)
    trace = merged.run()
    assert [finished for finished, _ in trace.accuracy] == [4, 8, 12, 16, 20]
    assert trace.more["plain_accuracy"] == pytest.approx(trace.accuracy[-1][1])
    assert [finished for finished, _ in usual.run().accuracy] == [4, 8, 12, 16, 17, 18, 19, 20]


def test_the_success_of_an_attack_is_that_against_the_merged_models() -> None:
    values: dict[str, Any] = {
        "f": 5,
        "rounds": 20,
        "evaluate_every": 1,
        "topology": Complete(),
        "peers": {"mix_every": "last"},
    }
    more = network(attack=BadNets(target=1, size=2, ratio=0.5, value=4.0), **values).run().more
    (success,) = more["aims"].values()
    assert success == more["attack_success_curve"][-1] == more["attack_success"]
    assert success != np.mean(more["attack_success_curve"][-2:])


def test_the_leap_at_the_merging_is_no_sign_of_a_training_that_is_too_short() -> None:
    curve = [[finished, 0.5] for finished in range(1, 20)] + [[20, 0.9]]

    def rise(peers: dict[str, Any] | None) -> float | None:
        federation = {"rounds": 20, "peers": peers}
        record: Any = {"status": "ok", "scenario": {"federation": federation}, "metrics": {"accuracy": curve}}
        return training_of([record], "plain_accuracy")["rise"][0]

    assert rise({"mix_every": "last"}) == pytest.approx(0)
    assert rise({"merge": "all"}) == pytest.approx(0)
    for usual in (None, {}, {"mix_every": 2}):
        found = rise(usual)
        assert found is not None
        assert found > 0.1


def test_only_rounds_with_letters_are_questioned() -> None:
    trace = network(Varies(), rounds=6, peers={"mix_every": "last"}).run()
    assert VARIES in trace.more["conduct"]


# -- attacks and faults


@dataclass(frozen=True, kw_only=True)
class Noting(UpdateAttack):
    """Sends what honest peers have, and notes the rounds in which it was asked."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    rounds: ClassVar[set[int]] = set()

    def craft(self, view: View) -> Tensor:
        self.rounds.add(view.round)
        return view.mean().repeat(view.f, 1)


def test_attacks_on_letters_strike_when_there_are_letters() -> None:
    Noting.rounds.clear()
    network(attack=Noting(), f=1, rounds=6, peers={"mix_every": 3}).run()
    assert Noting.rounds == {2, 5}


def test_steps_are_those_since_the_last_mixing() -> None:
    """In the complete graph with one liar: the letter is the last mixture less the way that honest peers have gone."""
    attack = InSteps() >> SignFlip(mode="mean")
    sim = network(attack=attack, f=1, topology=Complete(), rounds=4, peers={"mix_every": 2})
    kept = played(sim)
    honest = torch.as_tensor(sim.setup.honest)
    for before, number in ((sim.setup.population.initial.repeat(7, 1), 1), (kept.models[1][honest], 3)):
        sent = kept.rounds[number].sent
        for line in range(7):
            letter = before[line] - (sent - before[line]).mean(dim=0)
            found = torch.as_tensor(kept.rounds[number].exchanges[0].mixed.models[line])
            close(found, (sent.sum(dim=0) + letter) / 8)


def test_an_attack_on_letters_that_never_meets_one_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"Dissensus.* strikes in no round in which peers send any.*rounds 3, 7"):
        network(attack=Dissensus(start_round=4, stop_round=7), f=1, rounds=8, peers={"mix_every": 4})
    network(attack=Dissensus(start_round=4), f=1, rounds=8, peers={"mix_every": 4})
    network(attack=LabelFlip(start_round=4, stop_round=7), f=1, rounds=8, peers={"mix_every": 4})


def test_poisoned_training_reaches_others_with_the_last_letters() -> None:
    clean, dirty = (
        played(network(attack=LabelFlip(), f=f, rounds=4, topology=Complete(), peers={"mix_every": "last"})).models
        for f in (0, 2)
    )
    sim = network(attack=LabelFlip(), f=2, rounds=4, topology=Complete(), peers={"mix_every": "last"})
    honest = torch.as_tensor(sim.setup.honest)
    assert torch.equal(clean[2][honest], dirty[2][honest]), "until then nobody hears them"
    assert not torch.equal(clean[3][honest], dirty[3][honest])


def test_who_is_cut_off_counts_where_all_merge() -> None:
    sim = network(attack=Cut() >> Dissensus(), f=1, topology=Chain(), clients=6, rounds=3, peers={"merge": "all"})
    trace = sim.run()
    assert trace.more["worst_peer_curve"][-1] == pytest.approx(min(trace.more["peer_accuracy"]))


def test_bounds_are_those_of_the_graph_of_the_round() -> None:
    exchanges: list[Exchange] = []
    sim = network(Median(), attack=Dissensus(), f=3, topology=Ring(), rounds=2, peers={"merge": "all"}, declared=3)
    net = peers(sim).network
    assert net.bounds(net.graph(0)).max() <= 2
    assert set(net.bounds(net.graph(1))[sim.setup.honest].tolist()) == {3}
    for round in played(sim).rounds:
        exchanges += round.exchanges
    assert [len(one.hearing.senders[0]) for one in exchanges] == [3, 8]


@pytest.mark.parametrize("values", [{"mix_every": 3}, {"mix_every": "last", "merge": "all"}, {"merge": "all"}], ids=str)
@pytest.mark.parametrize("faults", [[Crash(probability=0.5)], [Churn(leave=0.3, join=0.3)]], ids=str)
def test_who_is_away_when_letters_are_sent_keeps_its_model(values: dict[str, Any], faults: Any) -> None:
    sim = network(rounds=6, faults=faults, peers=values, topology=Regular(degree=4))
    kept = played(sim)
    for number, round in enumerate(kept.rounds):
        away = np.setdiff1d(np.arange(8), round.honest)
        before = kept.models[number - 1] if number else sim.setup.population.initial.repeat(8, 1)
        assert torch.equal(kept.models[number][away], before[away])
        if values.get("merge") == "all" and number == 5:
            own = len(away) / 8 * round.sent  # the weight of letters that do not come stays with the own model
            close(kept.models[5][round.honest], round.sent.sum(dim=0) / 8 + own)


def test_rumours_travel_with_letters() -> None:
    trace = network(SybilWall(), rounds=6, topology=Regular(degree=4), peers={"mix_every": 2}).run()
    assert trace.more["letters"] == 3 * 8 * 4
    assert trace.more["rumours"] > 0


def test_the_rule_alone_is_not_changed_by_when_letters_come() -> None:
    from robustfl.defenses import Alone

    usual, rare = (played(network(Alone(), rounds=4, peers=v)).models[-1] for v in ({}, {"mix_every": "last"}))
    assert torch.equal(usual, rare)


def test_what_was_before_stays_to_the_last_bit() -> None:
    values = {"rounds": 4, "attack": InSteps() >> SignFlip(mode="mean"), "f": 2, "topology": Regular(degree=4)}
    usual, same = (played(network(Gossip(), **values, peers=p)) for p in ({}, {"mix_every": 1, "merge": "none"}))
    assert torch.equal(usual.models[-1], same.models[-1])
    assert rules().network.mixings(3) == (0, 1, 2)
