"""Faults of clients and of their data: noise, one class, no samples at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import (
    IPM,
    Clones,
    DuplicateSamples,
    EmptyClient,
    FeatureNoise,
    LabelFlip,
    LabelNoise,
    NaNClient,
    SignFlip,
)
from robustfl.defenses import FLTrust, Median
from robustfl.errors import ParameterError
from robustfl.threats import Delivery, Fault, FaultView
from tests.federation.received import received
from tests.federation.worlds import CLIENTS, population, simulation, trusted, weights


def test_a_median_hears_a_broken_client_as_if_it_were_away() -> None:
    broken = received(NaNClient(share=0.2), defense=Median())
    (client,) = {i for ids, sent in broken.rounds for i, row in zip(ids, sent, strict=True) if not row.isfinite().all()}

    class Away(Fault):
        def network(self, moment: FaultView) -> Delivery:
            return Delivery(lost=moment.ids == client)

    assert torch.equal(weights(broken.sim), weights(received(Away(), defense=Median()).sim))
    assert broken.trace.rejected_rows == 6


def test_faults_in_the_data_leave_the_shared_world_alone() -> None:
    world = population()
    before = (world.features.clone(), world.labels.clone(), [part.copy() for part in world.parts])
    faults = [LabelNoise(rate=0.5), FeatureNoise(), DuplicateSamples(), EmptyClient()]
    sim = simulation(world=world, faults=faults)
    sim.run()
    assert torch.equal(world.features, before[0])
    assert torch.equal(world.labels, before[1])
    assert all(np.array_equal(a, b) for a, b in zip(world.parts, before[2], strict=True))
    assert not torch.equal(sim.setup.population.labels, world.labels)
    assert sim.setup.population.test_labels is world.test_labels


def test_a_share_of_the_clients_has_noisy_data() -> None:
    world = population()
    made = simulation(world=world, faults=[LabelNoise(rate=1.0, share=0.5)]).setup.population
    changed = [bool((made.labels[part] != world.labels[part]).all()) for part in world.parts]
    assert sum(changed) == 3
    assert sum(bool((made.labels[part] == world.labels[part]).all()) for part in world.parts) == 3


def test_the_server_trusts_clean_samples_whatever_the_clients_have() -> None:
    settled = {"server": {"trusted_samples": 12}}
    clean = simulation(FLTrust(), **settled)
    noisy = simulation(FLTrust(), faults=[LabelNoise(rate=1.0), FeatureNoise(scale=5.0)], **settled)
    expected, found = trusted(clean), trusted(noisy)
    assert expected is not None
    assert found is not None
    assert torch.equal(expected, found)


def test_clients_without_samples_never_take_part() -> None:
    sim = received(EmptyClient(share=0.5), rounds=3)
    (ids,) = {tuple(ids) for ids in sim.senders}
    assert len(ids) == 3
    assert [len(sim.setup.population.parts[client]) > 0 for client in range(CLIENTS)] == [
        i in ids for i in range(CLIENTS)
    ]
    assert sim.trace.lost_rows == 0
    plain = received(rounds=3)
    torch.testing.assert_close(sim.rounds[0][1], plain.rounds[0][1][list(ids)], rtol=0, atol=0)


def test_one_class_clients_compute_on_that_class() -> None:
    made = received(EmptyClient(share=1.0, classes=1), rounds=1).setup.population
    assert all(len(set(made.labels[part].tolist())) == 1 for part in made.parts)


@pytest.mark.parametrize("attack", [IPM(), LabelFlip(), SignFlip(), Clones(count=2) >> LabelFlip()], ids=str)
@pytest.mark.parametrize("f", [1, 3])
def test_malicious_clients_without_samples_do_no_harm(attack: Any, f: int) -> None:
    sim = received(EmptyClient(share=0.8), attack=attack, f=f, rounds=3)
    empty = {client for client in range(CLIENTS) if not len(sim.setup.population.parts[client])}
    assert len(empty) == 4
    assert all(not empty & {int(sim.setup.members.leaders[i]) for i in ids} for ids in sim.senders)


def test_a_federation_without_any_samples_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"EmptyClient\(.*leaves no client any samples. Lower `share`"):
        simulation(faults=[EmptyClient(share=1.0)])


# -- channels
