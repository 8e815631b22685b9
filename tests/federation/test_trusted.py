"""The update that the server computes itself: for whom, on what, and that nobody else notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import IPM, LabelFlip, SignFlip
from robustfl.defenses import NNM, ClientMomentum, FLTrust, Krum, Mean, Median, MoNNA, TrimmedMean
from robustfl.federation import Federation, Simulation, Task, assemble
from robustfl.federation.clients.trusted import TrustedSamples
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import Softmax
from robustfl.federation.streams import stream
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, computed, gradient, simulation, trusted, weights


def accuracy(defense: Any, *, f: int, attack: Any = None, **values: Any) -> float:
    """Final test accuracy on digits with eleven clients."""
    settings = Federation.model_validate({"clients": 11, "rounds": 60, "evaluate_every": 60, **values})
    made = Task(data=Digits(), model=Softmax(), partition=IID()).prepare(clients=11, seed=0)
    return assemble(made, settings, defense, attack=attack, f=f).run().accuracy[-1][1]


@pytest.mark.parametrize("attack", [SignFlip(), IPM(epsilon=10.0)], ids=repr)
def test_fltrust_learns_where_most_clients_are_malicious(attack: Any) -> None:
    clean = accuracy(Mean(), f=0)
    assert clean > 0.85
    assert accuracy(FLTrust(), f=7, attack=attack) > clean - 0.1
    assert accuracy(Mean(), f=7, attack=attack) < 0.5
    assert accuracy(Median(), f=7, attack=attack) < 0.5


def test_a_pipeline_gets_the_trusted_update_too_and_momentum_keeps_lengths_alike() -> None:
    pipeline = ClientMomentum(beta=0.5) >> FLTrust()
    assert accuracy(pipeline, f=7, attack=SignFlip()) > 0.75
    assert accuracy(NNM(f=3) >> MoNNA(f=3), f=3, attack=SignFlip()) > 0.75
    values: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 3, "server": {"learning_rate": 1.0}}
    assert accuracy(FLTrust(), f=7, attack=SignFlip(), client_momentum=0.9, **values) > 0.75


def test_white_box_attacks_ask_the_defense_with_the_trusted_update() -> None:
    found: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Asking(UpdateAttack):
        """Asks what the defense would make of one vector and its opposite, one of them many times."""

        knowledge: ClassVar[Knowledge] = Knowledge.DEFENSE

        def craft(self, view: View) -> Tensor:
            rows = view.full(1.0).repeat(view.n, 1)
            rows[0] = -1.0
            found.append(view.aggregate(rows))
            return view.full(0.0).repeat(view.f, 1)

    kept = Kept()
    simulation(FLTrust(), f=3, attack=Asking(), rounds=2, observers=[kept]).run()
    assert len(found) == 2
    for answer, server in zip(found, kept.server, strict=True):
        assert server.trusted is not None
        ones = torch.ones_like(server.trusted)
        rows = torch.cat([-ones[None], ones.repeat(CLIENTS - 1, 1)])
        assert torch.allclose(answer, FLTrust()(rows, trusted=server.trusted), atol=1e-6)
    assert not torch.allclose(found[0], found[1])


# -- what the server computes


def samples(sim: Simulation) -> TrustedSamples | None:
    return sim.channel.work._samples


def own_batch(sim: Simulation, steps: int, size: int, rounds: int = 1) -> list[tuple[Tensor, Tensor]]:
    """The server's batches, drawn as documented from the stream "trusted"."""
    rng = stream(0, "trusted")
    y = sim.setup.population.dataset.train_y
    share = min(1.0, sim.setup.settings.server.trusted_samples / len(y))
    kept = samples(sim)
    assert kept is not None
    for c in range(3):  # its first draws choose the samples, one permutation a class
        rng.permutation(np.flatnonzero(y == c))
    expected = np.bincount(y) * share
    assert np.abs(np.bincount(y[kept.indices]) - expected).max() < 1
    drawn = [rng.choice(kept.indices, size=steps * size) for _ in range(rounds)]
    data = sim.setup.population.dataset
    return [(torch.tensor(data.train_x[index]), torch.tensor(y[index])) for index in drawn]


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_the_server_computes_what_a_client_with_its_samples_would(message: str, mode: str) -> None:
    sim = simulation(FLTrust(), model=SMALL_MLP, message=message, client_mode=mode, server={"trusted_samples": 12})
    ((x, y),) = own_batch(sim, steps=1, size=4)
    found = trusted(sim)
    expected = gradient(sim.setup.population, sim.setup.population.initial, x, y)
    assert found is not None
    assert torch.allclose(found, expected if message == "gradient" else -0.1 * expected, atol=1e-6)


def test_the_server_keeps_the_momentum_of_the_clients() -> None:
    sim = simulation(FLTrust(), client_momentum=0.8, server={"trusted_samples": 30})
    momentum = torch.zeros(sim.setup.population.d)
    for x, y in own_batch(sim, steps=1, size=4, rounds=3):
        momentum = 0.8 * momentum + 0.2 * gradient(sim.setup.population, sim.setup.population.initial, x, y)
        found = trusted(sim)
        assert found is not None
        assert torch.allclose(found, momentum, atol=1e-6)


def test_several_local_steps_follow_each_other() -> None:
    sim = simulation(FLTrust(), algorithm="fedavg", local_steps=3, local_learning_rate=0.2)
    ((x, y),) = own_batch(sim, steps=3, size=4)
    weights = sim.setup.population.initial.clone()
    for step in range(3):
        part = slice(4 * step, 4 * step + 4)
        weights = weights - 0.2 * gradient(sim.setup.population, weights, x[part], y[part])
    found = trusted(sim)
    assert found is not None
    assert torch.allclose(found, weights - sim.setup.population.initial, atol=1e-6)


def test_the_servers_labels_cannot_be_poisoned() -> None:
    sims = [simulation(FLTrust(), f=5, attack=attack) for attack in (None, LabelFlip())]
    found = [trusted(sim) for sim in sims]
    assert all(isinstance(message, Tensor) for message in found)
    assert torch.equal(*found)  # type: ignore[arg-type]


@pytest.mark.parametrize(("wanted", "kept"), [(1, 1), (45, 45), (10_000, 90)])
def test_no_more_samples_are_kept_than_there_are(wanted: int, kept: int) -> None:
    sim = simulation(FLTrust(), server={"trusted_samples": wanted})
    found = samples(sim)
    assert found is not None
    assert len(set(found.indices.tolist())) == len(found.indices) == kept
    assert sim.run().accuracy


# -- nobody else notices


@pytest.mark.parametrize("defense", [Mean(), Median(), Krum(f=1), NNM(f=1) >> TrimmedMean(f=1)], ids=repr)
def test_other_defenses_are_not_changed_by_a_bit(defense: Any) -> None:
    finals = []
    for count in (1, 60):
        kept, server = Kept(), {"trusted_samples": count}
        sim = simulation(defense, f=1, attack=SignFlip(), client_momentum=0.5, server=server, observers=[kept])
        sim.run()
        assert samples(sim) is None
        assert all(server.trusted is None for server in kept.server)
        finals.append(weights(sim))
    assert torch.equal(finals[0], finals[1])


def test_clients_send_the_same_whoever_is_trusted() -> None:
    plain, trusting = (simulation(defense, f=2, attack=SignFlip()) for defense in (Median(), FLTrust()))
    trusted(trusting)
    for number in range(3):
        sent = [computed(sim, number).sent for sim in (plain, trusting)]
        assert torch.equal(sent[0], sent[1])
