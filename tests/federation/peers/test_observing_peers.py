"""What is measured in networks of peers, compared with what the models themselves say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregation
from robustfl.attacks import Crash, Cut, Dissensus, Echo, LabelFlip, SignFlip
from robustfl.defenses import NNA, Alone, Gossip, Krum, Median
from robustfl.federation.classified import all_classified, classified
from robustfl.federation.graphs import Chain, Complete, Regular, Ring
from robustfl.federation.observers.detection import Detection
from robustfl.federation.observers.peers.accuracy import disagreement, lowest
from tests.federation.peers.networks import network, peers, played
from tests.federation.worlds import population


def test_many_models_are_classified_at_once_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.federation import classified as module

    made = population()
    models = made.initial + 0.3 * torch.randn(5, made.d, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(module, "MODELS", 2 * len(made.test_labels) * made.classes)
    for one, model in zip(all_classified(made, models), models, strict=True):
        alone = classified(made, model)
        assert (one.right.tolist(), one.found.tolist()) == (alone.right.tolist(), alone.found.tolist())
        assert one.tested.tolist() == alone.tested.tolist()
        assert one.loss == pytest.approx(alone.loss, rel=1e-5)
    few = torch.tensor([0, 3, 4])
    assert all_classified(made, models, few)[0].tested.sum() == 3


def test_peers_who_have_left_do_not_count_among_the_present() -> None:
    gone = Crash(probability=1.0, permanent=True, share=0.5, start_round=2)
    sim = network(rounds=12, faults=[gone], evaluate_every=6)
    kept = played(sim)
    there = sorted(kept.rounds[-1].honest.tolist())
    assert len(there) == 4
    assert kept.trace is not None
    more, each = kept.trace.more, np.array(kept.trace.more["peer_accuracy"])
    assert more["present_peers"] == 0.5
    assert more["present_mean"] == pytest.approx(each[there].mean())
    assert more["present_worst"] == pytest.approx(each[there].min())
    assert more["present_worst"] != pytest.approx(each.min()) or more["present_mean"] != pytest.approx(each.mean())


def test_peers_who_come_and_go_count_among_the_present() -> None:
    more = network(rounds=20, faults=[Crash(probability=0.1)], evaluate_every=20).run().more
    assert more["present_peers"] == 1.0
    assert more["present_mean"] == pytest.approx(np.mean(more["peer_accuracy"]))
    everybody = network(rounds=2, faults=[Crash(probability=1.0, permanent=True)]).run().more
    assert everybody["present_peers"] == 0.0
    assert "present_mean" not in everybody


@pytest.mark.parametrize("score_by", ["worst", "lowest_tenth", "mean"])
def test_accuracy_is_that_of_the_peers_by_whom_the_suite_scores(score_by: str) -> None:
    sim = network(attack=Dissensus(strength=1.0), f=1, rounds=4, peers={"score_by": score_by})
    trace = sim.run()
    each = np.array([classified(sim.setup.population, model).plain for model in sim.topology.served()])
    expected = {"worst": each.min(), "lowest_tenth": each.min(), "mean": each.mean()}[score_by]
    assert trace.accuracy[-1] == (4, pytest.approx(expected))
    assert trace.more["peer_accuracy"] == pytest.approx(each.tolist())
    assert trace.more["worst_peer"] <= trace.more["lowest_tenth"] <= trace.more["mean_peer"]
    key = {"worst": "worst_peer", "lowest_tenth": "lowest_tenth", "mean": "mean_peer"}[score_by]
    assert trace.more["plain_accuracy"] == pytest.approx(trace.more[key])
    assert len(trace.more["consensus"]) == len(trace.more["worst_peer_curve"]) == len(trace.accuracy)


def test_curves_are_measured_on_a_fixed_choice_and_the_end_on_everything() -> None:
    sim = network(rounds=3, peers={"evaluate_samples": 6})
    tested: list[int] = []
    accuracy: Any = sim.observers[0]
    look = accuracy.classified

    def noted(models: Any, round: Any) -> Any:
        found = look(models, round)
        tested.append(int(found[0].tested.sum()))
        return found

    accuracy.classified = noted
    kept = played(sim)
    assert len(kept.rounds) == 3
    assert tested == [6, 6, 30]


def test_a_model_that_has_diverged_recognises_nothing() -> None:
    sim = network(local_learning_rate=1e38, rounds=4)
    kept = played(sim)
    assert kept.trace is not None
    assert kept.trace.diverged
    models = all_classified(sim.setup.population, kept.models[-1])
    gone = np.array([not np.isfinite(one.loss) for one in models])
    found = np.array(kept.trace.more["peer_accuracy"])
    assert sum(one.plain for one in np.array(models)[gone]) > 0, "taken at their word, some would be right by chance"
    assert not found[gone].any()
    assert found[~gone].tolist() == [one.plain for one in np.array(models)[~gone]]


def test_the_model_that_stands_for_all_is_that_of_the_middle_peer() -> None:
    sim = network(attack=Dissensus(strength=1.0), f=1, rounds=4)
    trace = sim.run()
    accuracy: Any = sim.observers[0]
    order = np.sort(trace.more["peer_accuracy"])
    assert classified(sim.setup.population, accuracy.best).plain == pytest.approx(order[(len(order) - 1) // 2])


def test_lowest_and_disagreement() -> None:
    assert lowest(np.arange(20) / 20, 0.1) == pytest.approx(0.025)
    assert lowest(np.array([0.5]), 0.1) == 0.5
    assert disagreement(torch.ones(3, 2)) == 0.0
    assert disagreement(torch.zeros(3, 2)) == 0.0


def test_letters_are_counted_and_detected_as_rows_of_many_receivers_are() -> None:
    """The measures of detection are those of a receiver for each peer."""
    sim = network(Krum(f=1), attack=SignFlip(mode="mean"), f=2, topology=Regular(degree=4), rounds=3)
    kept = played(sim)
    slow = Detection(sim.setup.members.malicious)
    areas, shares = [], []
    for round in kept.rounds:
        for exchange in round.exchanges:
            before = len(slow._areas), len(slow._malicious_shares)
            for line, senders in enumerate(exchange.hearing.senders):
                at = np.flatnonzero(exchange.arrived[line])
                assert exchange.mixed.weights is not None
                weights = exchange.mixed.weights[line, at]
                answer = Aggregation(None, weights, exchange.mixed.rejected[line, at], {})
                slow.observe(senders[at], answer)
                slow.count()
            areas.append(float(np.mean(slow._areas[before[0] :])))
            shares.append(float(np.mean(slow._malicious_shares[before[1] :] or [0.0])))
    assert kept.trace is not None
    expected, found = slow.found(), kept.trace.more
    for name in ("honest_ignored", "honest_unheard", "detection_recall", "detection_precision"):
        assert found[name] == pytest.approx(expected[name]), name
    assert found["detection_auc"] == pytest.approx(np.mean(areas))
    edges = peers(sim).network.graph().degree[sim.setup.honest].sum()
    assert found["letters"] == 3 * edges


def test_facts_about_the_network_and_hops_from_malicious_peers() -> None:
    sim = network(NNA(), attack=Cut() >> LabelFlip(), f=1, topology=Chain(), rounds=3)
    more = sim.run().more
    (bad,) = sim.setup.malicious.tolist()
    assert (more["parts"], more["mu2"], more["local_bound"], more["declared_bound"]) == (2, 0.0, 1, 1)
    assert more["touched"] == pytest.approx(2 / 7)
    assert more["attack_edges"] == pytest.approx(2 / 7)
    hops = [abs(peer - bad) - 1 for peer in range(8) if peer != bad]
    assert more["hop_peers"] == {str(hop): hops.count(hop) for hop in sorted(set(hops))}
    accuracy = np.array(more["peer_accuracy"])
    for hop in set(hops):
        assert more["hop_accuracy"][str(hop)] == pytest.approx(accuracy[np.array(hops) == hop].mean())


def test_only_the_largest_part_counts_where_honest_peers_are_cut() -> None:
    sim = network(Gossip(), attack=Cut() >> Dissensus(), f=1, topology=Chain(), clients=6, rounds=3)
    trace = sim.run()
    (bad,) = sim.setup.malicious.tolist()
    honest = [peer for peer in range(6) if peer != bad]
    sides = [[place for place, peer in enumerate(honest) if (peer < bad) == left] for left in (True, False)]
    larger = max(sides, key=len)
    accuracy = np.array(trace.more["peer_accuracy"])
    assert trace.more["worst_peer_curve"][-1] == pytest.approx(accuracy[larger].min())


def test_what_peers_reach_alone_is_measured_with_the_plain_rule() -> None:
    sim = network(Gossip(), reference=True, rounds=4, topology=Ring())
    alone = network(Gossip(), topology=Ring(), clients=8, rounds=4).run()
    more = sim.run().more
    assert 0 <= more["alone_worst"] <= more["alone_mean"] <= 1
    assert "alone_mean" not in alone.more
    assert more["alone_mean"] < more["mean_peer"] + 0.05


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"algorithm": "fedavg", "local_steps": 3},
        {"client_momentum": 0.9},
        {"peers": {"start": "own"}},
        {"peers": {"order": "combine_then_adapt"}},
        {"sharpness_radius": 0.05},
    ],
    ids=str,
)
def test_what_peers_reach_alone_is_what_the_rule_alone_reaches(values: dict[str, Any]) -> None:
    row = network(Alone(), world=population(clients=8), rounds=8, **values).run().more["peer_accuracy"]
    more = network(Gossip(), world=population(clients=8), reference=True, rounds=8, **values).run().more
    assert (more["alone_mean"], more["alone_worst"]) == (pytest.approx(np.mean(row), abs=1e-12), min(row))


def test_what_peers_reach_alone_is_measured_once_for_a_world_and_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.federation.observers.peers.isolated import Isolated

    measured, inner = [], Isolated._accuracies
    monkeypatch.setattr(Isolated, "_accuracies", lambda self, root: measured.append(1) or inner(self, root))
    shared = population(clients=8)

    def alone(world: Any, **values: Any) -> tuple[float, float]:
        more = network(Gossip(), world=world, reference=True, topology=Ring(), **values).run().more
        return more["alone_mean"], more["alone_worst"]

    assert alone(shared) == alone(shared, declared=2) == alone(population(clients=8))
    assert len(measured) == 2, "another copy of the samples keeps nothing"
    for values in ({"seed": 1}, {"rounds": 4}, {"peers": {"gossip_steps": 2}}):
        alone(shared, **values)
    assert len(measured) == 5


def test_bytes_are_those_of_letters() -> None:
    sim = network(Median(), attack=Echo(), f=2, topology=Complete(), peers={"gossip_steps": 3}, rounds=1)
    trace, size = sim.run(), 4.0 * sim.setup.population.d
    assert trace.more["edge_bytes"] == 3 * size
    assert trace.bytes_up == trace.bytes_down == 7 * 3 * size
