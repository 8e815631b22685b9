"""Rounds in which clients send synthetic samples: what the server makes of them, and what an adversary can send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import ALIE, AWGN, IPM, Clones, LabelFlip, NonFinite, OmniscientLabelFlip, WhiteBox
from robustfl.defenses import FRL, NNM, RFFL, DPFedAvg, FLTrust, GradientNoise, KnFu, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation
from robustfl.federation.channels.virtual_data import VirtualDataChannel
from robustfl.federation.clients.hardening import feature_range
from robustfl.threats import Knowledge, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, gradient, rules, simulation, weights

SAMPLES = 5


def virtual(defense: Any = None, **values: Any) -> Simulation:
    made = {"samples": SAMPLES, "steps": 15, **values.pop("virtual_data", {})}
    return simulation(defense, virtual_data=made, **{"rounds": 3, "model": SMALL_MLP, **values})


def channel(sim: Simulation) -> VirtualDataChannel:
    assert isinstance(sim.channel, VirtualDataChannel)
    return sim.channel


def sent(sim: Simulation, number: int = 0) -> tuple[Any, Tensor, Tensor]:
    round = sim.play(number)
    assert round.virtual is not None
    return round, *round.virtual


def test_with_a_mean_and_one_step_the_server_takes_the_step_of_the_union() -> None:
    sim = virtual()
    before = weights(sim).clone()
    round, features, labels = sent(sim)
    union = gradient(sim.setup.population, before, features.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(round.receivers[0].aggregate, union, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(weights(sim), before - 0.5 * union, atol=1e-6, rtol=1e-4)


def test_several_steps_take_all_samples_each_time() -> None:
    sim = virtual(algorithm="fedavg", local_steps=3, local_learning_rate=0.2)
    start = weights(sim).clone()
    round, features, labels = sent(sim)
    for row, member in enumerate(round.lesson.ids.tolist()):
        local = start.clone()
        for _ in range(3):
            local = local - 0.2 * gradient(sim.setup.population, local, features[row], labels[row])
        place = round.receivers[0].ids.tolist().index(member)
        torch.testing.assert_close(round.receivers[0].arrived[place], local - start, atol=1e-6, rtol=1e-4)


def test_samples_are_in_the_range_of_the_data_with_labels_in_the_proportions_of_the_batches() -> None:
    sim = virtual(batch_size=10)
    round, features, labels = sent(sim)
    low, high = feature_range(sim.setup.population.features)
    assert features.shape == (CLIENTS, SAMPLES, 1, 4, 4)
    assert bool((features >= low).all() and (features <= high).all())
    for row in range(CLIENTS):
        own = torch.bincount(round.lesson.labels[row].flatten(), minlength=3) * SAMPLES / 10
        assert float((torch.bincount(labels[row], minlength=3) - own).abs().max()) < 1


def test_what_is_made_of_samples_is_near_to_what_the_clients_own_make_and_nearer_after_a_longer_search() -> None:
    def apart(**how: int) -> Tensor:
        sim = virtual(virtual_data=how)
        round, *_ = sent(sim)
        own = sim.channel.work.gradients(round.models, round.lesson)
        return (round.computed - own).norm(dim=1) / own.norm(dim=1)

    short, long = apart(steps=2), apart(steps=40)
    assert float(long.max()) < 0.7
    assert float(long.mean()) < 0.6 * float(short.mean())


def test_a_client_makes_its_samples_alone() -> None:
    """Who else takes part changes nothing, and a second question has the same answer."""
    sim = virtual()
    round, features, _ = sent(sim)
    again, _ = sim.channel._sent(round.models, round.lesson, 0)  # type: ignore[attr-defined]
    torch.testing.assert_close(again, round.computed, atol=1e-6, rtol=1e-5)
    part = virtual(participation=0.5)
    half, some, _ = sent(part)
    for row, member in enumerate(half.lesson.ids.tolist()):
        torch.testing.assert_close(some[row], features[member], atol=1e-4, rtol=1e-3)


def test_clients_learn_and_send_fewer_bytes() -> None:
    sim = virtual(rounds=12, evaluate_every=12, batch_size=16, server={"learning_rate": 1.0})
    trace = sim.run()
    assert trace.accuracy[-1][1] > 0.85
    assert trace.bytes_up == 4.0 * SAMPLES * (16 + 1)
    assert trace.bytes_down == 4.0 * sim.setup.population.d


@pytest.mark.parametrize("attack", [IPM(epsilon=1e4), WhiteBox(candidates=2), ALIE(), OmniscientLabelFlip()], ids=str)
def test_malicious_clients_send_samples_and_the_search_was_told_what_happens(attack: Any) -> None:
    told: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Spied(type(attack)):  # type: ignore[misc]
        knowledge: ClassVar[Knowledge] = ~Knowledge.NOTHING

        def required_knowledge(self) -> Knowledge:
            return self.knowledge

        def craft(self, view: View) -> Tensor:
            crafted: Tensor = super().craft(view)
            told.append(view.aggregate(torch.cat([crafted, view.honest])))
            return crafted

    kept = Kept()
    rule, spied = NNM(f=2) >> TrimmedMean(f=2), Spied(**attack.parameters())
    assert (
        virtual(rule, attack=spied, f=2, rounds=1, observers=[kept], virtual_data={"steps": 5}).run().rejected_rows == 0
    )
    for server, expected in zip(kept.server, told, strict=True):
        torch.testing.assert_close(server.aggregate, expected, atol=1e-6, rtol=1e-4)
        rows = server.arrived.norm(dim=1)
        assert float(rows.max()) < 50, "no sample in the range of the data has a gradient of ten thousand"


def test_what_is_crafted_is_answered_by_the_nearest_samples() -> None:
    """An update that samples can make is nearly reached; of what is out of reach, the direction is what counts."""
    sim = virtual(virtual_data={"steps": 60})
    round, *_ = sent(sim)
    model = weights(sim)
    rows = round.computed[:2] * torch.tensor([[1.0], [-1e30]])
    near = channel(sim).sendable(rows, round.models, 0)
    assert float((near[0] - rows[0]).norm() / rows[0].norm()) < 0.7
    assert float(torch.nn.functional.cosine_similarity(near[1], -round.computed[1], dim=0)) > 0
    assert torch.equal(channel(sim).sendable(rows[:0], model, 0), rows[:0])


def test_rows_that_are_not_finite_are_refused_and_the_rest_is_aggregated() -> None:
    trace = virtual(Median(), attack=NonFinite(), f=2).run()
    assert trace.rejected_rows == 2 * 3
    assert trace.accuracy


def test_poisoned_data_make_poisoned_samples_and_other_parts_have_rounds() -> None:
    _, _, clean = sent(virtual())
    round, _, labels = sent(virtual(attack=LabelFlip(), f=1))
    (row,) = np.flatnonzero(round.lesson.ids == round.malicious[0])
    member = int(round.malicious[0])
    np.testing.assert_array_equal(np.sort(2 - labels[row]), np.sort(clean[member]))
    assert virtual(FLTrust(), rounds=2).run().accuracy
    slow = {"mode": "asynchronous", "buffer": 3, "staleness": "constant"}
    assert virtual(Median(), server=slow).run().accuracy


@pytest.mark.parametrize(
    ("defense", "values", "reason"),
    [
        (FRL(), {}, "speaks the channel 'rankings'"),
        (
            RFFL(),
            {},
            "clients send virtual data where the federation has settings of `virtual_data`, which",
        ),
        (KnFu(), {}, "clients send predictions where"),
        (Mean(), {"attack": Clones() >> LabelFlip(), "f": 1}, "several identities"),
        (Mean(), {"faults": [AWGN()]}, "cannot happen to messages of Mean, those of the channel 'virtual_data'"),
        (GradientNoise() >> Mean(), {}, "clients of the channel 'virtual_data' send something else"),
        (DPFedAvg(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), {}, "DPFedAvg.* send something else"),
        (Mean(), {"server": {"mode": "asynchronous", "buffer": 3}}, "cannot be multiplied by a staleness weight"),
    ],
    ids=["rankings", "rewards", "predictions", "identities", "noise", "client side", "mechanism", "staleness"],
)
def test_what_does_not_fit_is_refused(defense: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        virtual(defense, **values)


@pytest.mark.parametrize(
    "values",
    [{"client_momentum": 0.9}, {"algorithm": "fedavg", "distillation": {}}],
    ids=["momentum", "distillation"],
)
def test_settings_that_contradict_virtual_data_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="with `virtual_data` clients send samples"):
        rules(virtual_data={}, **values)


def test_the_channel_needs_its_settings() -> None:
    with pytest.raises(ParameterError, match="need settings of `virtual_data`"):
        VirtualDataChannel(simulation().setup, simulation().channel.work, Mean())
