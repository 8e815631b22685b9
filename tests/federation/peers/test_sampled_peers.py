"""Samples of peers that train one model: who takes part, who combines, and what malicious ones can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.neighbourhoods import Hoods, Letters, for_samples
from robustfl.attacks import IPM, Crash, Dropout, Echo, NonFinite, SignFlip
from robustfl.defenses import NNA, Alone, FLTrust, Gossip, Krum, Mean, Median, SybilWall, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation
from robustfl.federation.graphs import Sampled
from robustfl.federation.peers.sampled import SampledPeers
from robustfl.federation.peers.sampling import Samples, answering
from tests.federation.peers.networks import PEERS, half_steps, network, played
from tests.federation.worlds import batches


def sampled(defense: Any = None, *, size: int = 4, aggregators: int = 2, **values: Any) -> Simulation:
    return network(defense or Mean(), topology=Sampled(size=size, aggregators=aggregators), **values)


def topology(sim: Simulation) -> SampledPeers:
    assert isinstance(sim.topology, SampledPeers)
    return sim.topology


# ---------------------------------------------------------------------------------------------------- who takes part


def test_everybody_who_knows_the_names_works_out_the_same_order() -> None:
    names = np.random.default_rng(0).permutation(50)
    one, other = (Samples(names=names, size=5, aggregators=1) for _ in range(2))
    for number in range(4):
        order = one.order(number)
        assert sorted(order.tolist()) == list(range(50))
        np.testing.assert_array_equal(order, other.order(number))
    turned = Samples(names=names[::-1].copy(), size=5, aggregators=1)
    np.testing.assert_array_equal(names[one.order(3)], names[::-1][turned.order(3)])


def test_every_peer_is_in_a_sample_as_often_as_others() -> None:
    samples = Samples(names=np.arange(20), size=5, aggregators=1)
    count = np.bincount(np.concatenate([samples.order(number)[:5] for number in range(400)]), minlength=20)
    assert 60 < count.min() <= count.max() < 140  # 100 on average, with a standard deviation of 9
    marked = np.arange(20) < 3
    assert samples.most(marked, 400) == 3
    assert samples.most(marked, 1) == int(marked[samples.order(0)[:5]].sum())


def test_who_does_not_answer_is_passed_over() -> None:
    order, up = np.array([4, 1, 3, 0, 2]), np.array([True, False, True, True, False])
    for count, found, silent in ((1, [3], 2), (2, [3, 0], 2), (3, [3, 0, 2], 2), (9, [3, 0, 2], 2)):
        chosen, unanswered = answering(order, up, count)
        assert (chosen.tolist(), unanswered) == (found, silent)


def test_a_sample_and_the_next_one_are_the_first_who_are_there() -> None:
    sim = sampled(rounds=4, faults=[Crash(probability=0.4)])
    kept, course = played(sim), topology(sim)
    for number, round in enumerate(kept.rounds):
        there = ~sim.setup.faults.absent(number, PEERS)
        wanted = answering(course.samples.order(number), there, 4)[0]
        assert sorted(wanted.tolist()) == round.honest.tolist()
        assert all(exchange.hearing.senders.min() >= 0 for exchange in round.exchanges)
    assert kept.trace is not None
    assert kept.trace.more["unanswered_pings"] == course.unanswered > 0


# ---------------------------------------------------------------------------------------------------- what they compute


def test_a_round_is_the_mean_of_the_steps_of_a_sample_for_the_next_one() -> None:
    sim = sampled(rounds=3)
    course, made = topology(sim), sim.setup.population
    kept, model = played(sim), made.initial
    for number, (drawn, after) in enumerate(zip(batches(made, 3, 1, 4), kept.models, strict=True)):
        members = np.sort(course.samples.order(number)[:4])
        steps = half_steps(made, model.repeat(4, 1), [drawn[member] for member in members.tolist()])
        model = steps.mean(dim=0)
        given = course.samples.order(number + 1)[:4]
        torch.testing.assert_close(after[torch.as_tensor(given)], model.repeat(4, 1), atol=1e-5, rtol=1e-4)
        before = kept.models[number - 1] if number else made.initial.repeat(PEERS, 1)
        rest = torch.as_tensor(np.setdiff1d(np.arange(PEERS), given))
        torch.testing.assert_close(after[rest], before[rest], atol=0, rtol=0)


def test_gossip_is_the_mean_of_a_sample_also_when_letters_get_lost() -> None:
    lost = {"faults": [Dropout(probability=0.4)], "rounds": 3}
    models = [played(sampled(rule, **lost)).models[-1] for rule in (Mean(), Gossip())]
    torch.testing.assert_close(*models, atol=1e-6, rtol=1e-5)


def test_members_take_the_median_of_what_aggregators_give_them() -> None:
    sim = sampled(Median(), size=6, aggregators=3, attack=IPM(epsilon=50.0), f=1, rounds=8)
    kept = played(sim)
    reached = 0
    for round, after in zip(kept.rounds, kept.models, strict=True):
        handed = round.exchanges[-1]
        if handed.hearing.senders.shape[1] < 4:
            continue
        spoilt = sim.setup.members.malicious[handed.hearing.senders[:, 1:]]
        given = after[torch.as_tensor(handed.hearing.ids)]
        assert float(given.abs().max()) < 20.0
        reached += bool(spoilt.any())
    assert reached, "a malicious peer was an aggregator once"


def test_letters_pings_and_bytes_are_counted() -> None:
    sim = sampled(size=4, aggregators=2, rounds=5)
    trace = sim.run()
    assert trace.more["letters"] == 5 * (4 * 2 + 2 * 4)
    assert trace.bytes_up == trace.bytes_down == 2 * 4 * 2 / PEERS * 4 * sim.setup.population.d
    assert trace.more["short_peers"] == 0


# ---------------------------------------------------------------------------------------------------- hostile members


@pytest.mark.parametrize("attack", [NonFinite(), Echo(), SignFlip()], ids=lambda attack: attack.name)
@pytest.mark.parametrize("aggregators", [1, 3])
def test_robust_samples_stay_finite_and_the_same_for_the_same_seed(attack: Any, aggregators: int) -> None:
    def run() -> Any:
        return played(sampled(Median(), aggregators=aggregators, attack=attack, f=2, rounds=6))

    one, other = run(), run()
    assert one.models[-1].isfinite().all()
    torch.testing.assert_close(one.models[-1], other.models[-1], atol=0, rtol=0)


def test_a_sample_of_malicious_peers_alone_leaves_honest_ones_what_it_writes() -> None:
    sim = sampled(size=1, aggregators=1, attack=SignFlip(), f=7, rounds=6)
    assert played(sim).models[-1].isfinite().all()


def test_malformed_models_reach_nobody() -> None:
    """A single aggregator who writes no model leaves the next sample what it has."""
    sim = sampled(aggregators=1, attack=NonFinite(), f=3, rounds=10)
    kept, malicious = played(sim), sim.setup.members.malicious
    spoilt = [round.exchanges[-1] for round in kept.rounds if malicious[round.exchanges[-1].hearing.senders[0, 1]]]
    assert spoilt
    assert all(set(exchange.mixed.info["kept"]) == set(range(len(exchange.hearing.ids))) for exchange in spoilt)


def test_the_loop_goes_on_when_four_of_five_are_gone_and_ends_when_all_are() -> None:
    gone = Crash(probability=1.0, permanent=True, share=0.75, start_round=2)
    sim = sampled(rounds=8, faults=[gone])
    assert [len(round.honest) for round in played(sim).rounds] == [4, 4, 2, 2, 2, 2, 2, 2]
    nobody = sampled(rounds=3, faults=[Crash(probability=1.0, permanent=True, start_round=1)])
    kept = played(nobody)
    assert [len(round.honest) for round in kept.rounds] == [4, 0, 0]


@pytest.mark.parametrize(
    ("bound", "told"), [("max", None), ("share", 2), (1, 1), ("local", None)], ids=["max", "share", "number", "local"]
)
def test_aggregators_are_told_how_many_members_may_be_malicious(bound: Any, told: int | None) -> None:
    sim = sampled(TrimmedMean(f=1), size=5, attack=SignFlip(), f=2, rounds=6, peers={"bound": bound})
    course, kept = topology(sim), played(sim)
    malicious = sim.setup.members.malicious
    most = max(int(malicious[course.samples.order(number)[:5]].sum()) for number in range(6))
    for round in kept.rounds:
        if len(round.exchanges) == 2:
            expected = {"max": most, "local": len(round.malicious)}.get(bound, told)
            assert set(round.exchanges[0].mixed.info["bounds"].tolist()) == {expected}


# ---------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize("rule", [NNA(), SybilWall(), Alone(), FLTrust()], ids=lambda rule: rule.name)
def test_rules_that_start_from_an_own_model_are_refused(rule: Any) -> None:
    with pytest.raises(ParameterError, match=r"combines? (the )?models of others"):
        sampled(rule)


@pytest.mark.parametrize("name", ["gossip_steps", "mix_every", "merge", "order", "weights", "start", "read"])
def test_settings_of_neighbours_are_refused(name: str) -> None:
    values = {
        "gossip_steps": 2,
        "mix_every": 2,
        "merge": "all",
        "order": "combine_then_adapt",
        "weights": "uniform",
        "start": "own",
        "read": "by_chance",
    }
    with pytest.raises(ValueError, match=rf"peers.{name} belongs to networks of neighbours"):
        sampled(peers={name: values[name]})


def test_who_combines_the_models_of_others_does_not_count_its_own() -> None:
    letters = Letters(np.array([[100.0], [1.0], [2.0], [6.0]]))
    around = Hoods(np.array([[0, 1, 2, 3]]), np.array([[0, 1 / 3, 1 / 3, 1 / 3]]), np.array([1]))
    for rule, expected in ((Mean(), 3.0), (Gossip(), 3.0), (Median(), 2.0), (Krum(f=1), 1.0)):
        mixed = for_samples(rule).mix(letters, around)
        assert mixed.models.tolist() == [[pytest.approx(expected)]], str(rule)
        assert mixed.weights is None or mixed.weights[0, 0] == 0.0
