"""The round, against plain loops written by hand; who takes part; and what is random, and what is not."""

from __future__ import annotations

import copy
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from robustfl.aggregation import Aggregator
from robustfl.attacks import IPM, Dropout, NonFinite
from robustfl.defenses import CenteredClipping, Krum, Mean, Median, MultiKrum, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation
from robustfl.federation.models.architectures import CNN, Model, Softmax
from robustfl.federation.streams import stream
from robustfl.threats import Attack
from tests.federation.worlds import (
    ATTACKS,
    CLIENTS,
    SMALL_MLP,
    Kept,
    batches,
    computed,
    gradient,
    population,
    sampled,
    simulation,
    weights,
)

# -- what clients and server compute, against plain loops


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, CNN(channels=(2,))], ids=repr)
@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_fedsgd_with_the_mean_is_central_sgd_on_the_pooled_batch(model: Model, message: str, mode: str) -> None:
    """A delta is -0.1 gradient by the local step, so a server step of 3 equals one of 0.3 on gradients."""
    server = {"learning_rate": 0.3 if message == "gradient" else 3.0}
    sim = simulation(model=model, message=message, client_mode=mode, server=server)
    sim.run()
    expected = sim.setup.population.initial.clone()
    for clients in batches(sim.setup.population, rounds=6, steps=1, size=4):
        x, y = (torch.cat([data[part][0] for data in clients]) for part in (0, 1))
        expected -= 0.3 * gradient(sim.setup.population, expected, x, y)
    assert torch.allclose(weights(sim), expected, atol=1e-5)
    assert float((weights(sim) - sim.setup.population.initial).norm()) > 0.1


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_fedavg_is_local_sgd_and_the_mean_of_the_models(message: str, mode: str) -> None:
    """With gradients, a server step of local rate x local steps lands on the mean of the local models as well."""
    server = {"learning_rate": 1.0 if message == "delta" else 0.6}
    values: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 3, "local_learning_rate": 0.2}
    sim = simulation(model=SMALL_MLP, message=message, client_mode=mode, server=server, **values)
    sim.run()
    expected = sim.setup.population.initial.clone()
    for clients in batches(sim.setup.population, rounds=6, steps=3, size=4):
        local = []
        for x, y in clients:
            module = copy.deepcopy(sim.setup.population.module).requires_grad_(True)
            vector_to_parameters(expected.clone(), module.parameters())
            optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
            for features, labels in zip(x, y, strict=True):
                optimizer.zero_grad()
                cross_entropy(module(features), labels).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            local.append(parameters_to_vector(module.parameters()).detach())
        expected = torch.stack(local).mean(dim=0)
    assert torch.allclose(weights(sim), expected, atol=1e-5)


def test_client_momentum_is_an_average_over_the_rounds_that_a_client_takes_part_in() -> None:
    kept, server = Kept(), {"learning_rate": 0.3}
    sim = simulation(client_momentum=0.8, participation=0.5, rounds=8, server=server, observers=[kept])
    sim.run()
    taking_part = [round.honest.tolist() for round in kept.rounds]
    expected, momenta = sim.setup.population.initial.clone(), torch.zeros(CLIENTS, sim.setup.population.d)
    for ids, clients in zip(taking_part, batches(sim.setup.population, rounds=8, steps=1, size=4), strict=True):
        for client in ids:
            x, y = clients[client]
            momenta[client] = 0.8 * momenta[client] + 0.2 * gradient(sim.setup.population, expected, x[0], y[0])
        expected = expected - 0.3 * momenta[ids].mean(dim=0)
    assert len({tuple(ids) for ids in taking_part}) > 1
    assert torch.allclose(weights(sim), expected, atol=1e-5)


@pytest.mark.parametrize("pause", [{"every": 2}, {"stop_round": 2}], ids=str)
def test_momentum_of_a_client_goes_on_while_it_attacks(pause: dict[str, Any]) -> None:
    """What a client would honestly send in a pause of the attack has seen the attacked rounds too."""
    attack = IPM(epsilon=1e-9, **pause)
    watched, honest = (simulation(client_momentum=0.9, f=2, attack=a) for a in (attack, None))
    number = 2 if "stop_round" in pause else 1
    for sim in (watched, honest):
        for earlier in range(number):
            weights(sim).copy_(sim.setup.population.initial)
            sim.play(earlier)
        weights(sim).copy_(sim.setup.population.initial)
    rows = [computed(sim, number).own for sim in (watched, honest)]
    assert rows[0] is not None
    assert rows[1] is not None
    assert torch.equal(rows[0], rows[1])


def recorded(sim: Simulation) -> list[Tensor]:
    """The aggregates that the server steps along, in order."""
    kept = Kept()
    sim.observers.append(kept)
    sim.run()
    return [server.aggregate for server in kept.server if server.aggregate is not None]


@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_server_momentum_by_hand(message: str) -> None:
    sim = simulation(message=message, server={"learning_rate": 0.2, "momentum": 0.9})
    sign = -1.0 if message == "gradient" else 1.0
    expected, velocity = sim.setup.population.initial.double(), torch.zeros(sim.setup.population.d).double()
    for aggregate in recorded(sim):
        velocity = 0.9 * velocity + sign * aggregate.double()
        expected = expected + 0.2 * velocity
    assert torch.allclose(weights(sim).double(), expected, atol=1e-5)


@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_server_adam_by_hand(message: str) -> None:
    sim = simulation(message=message, server={"optimizer": "adam", "learning_rate": 0.05})
    sign = -1.0 if message == "gradient" else 1.0
    expected = sim.setup.population.initial.double()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for step, aggregate in enumerate(recorded(sim), start=1):
        direction = sign * aggregate.double()
        first = 0.9 * first + 0.1 * direction
        second = 0.999 * second + 0.001 * direction**2
        expected = expected + 0.05 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    assert torch.allclose(weights(sim).double(), expected, atol=1e-4)


def test_the_model_learns() -> None:
    trace = simulation(rounds=40, batch_size=16).run()
    assert trace.accuracy[-1][1] > 0.9
    assert trace.loss[-1][1] < trace.loss[0][1]


# -- who takes part, and who is malicious


def test_malicious_clients_of_a_smaller_f_stay_malicious_for_a_larger_one() -> None:
    world = population(clients=12)
    sets = [set(simulation(world=world, clients=12, f=f, attack=IPM()).setup.malicious.tolist()) for f in range(12)]
    assert [len(ids) for ids in sets] == list(range(12))
    assert all(small < large for small, large in pairwise(sets))
    others = [simulation(world=world, clients=12, f=4, seed=seed).setup.malicious.tolist() for seed in range(8)]
    assert len({tuple(ids) for ids in others}) > 1


@pytest.mark.parametrize("f", [0, 1, 3, 5])
def test_fixed_participation_has_its_share_of_malicious_clients_in_every_round(f: int) -> None:
    sim = simulation(clients=10, f=f, attack=IPM(), participation=0.5)
    rounds = [sampled(sim) for _ in range(60)]
    for malicious, honest in rounds:
        assert (len(malicious), len(honest)) == (-(-f * 5 // 10), 5 - -(-f * 5 // 10))
        assert set(malicious) <= set(sim.setup.malicious)
        assert not set(honest) & set(sim.setup.malicious)
        assert sorted(malicious) == malicious.tolist()
        assert sorted(honest) == honest.tolist()
    seen = {int(client) for malicious, honest in rounds for client in (*malicious, *honest)}
    assert seen == set(range(10))


def test_sampled_participation_leaves_the_count_to_chance() -> None:
    sim = simulation(clients=10, f=4, attack=IPM(), participation=0.5, malicious_per_round="sampled")
    rounds = [sampled(sim) for _ in range(2_000)]
    assert all(len(malicious) + len(honest) == 5 for malicious, honest in rounds)
    counts = np.bincount([len(malicious) for malicious, _ in rounds], minlength=6) / 2_000
    hypergeometric = np.array([6, 60, 120, 60, 6, 0]) / 252
    np.testing.assert_allclose(counts, hypergeometric, atol=0.035)


def test_full_participation_is_everybody() -> None:
    malicious, honest = sampled(simulation(clients=7, f=3, attack=IPM()))
    assert sorted([*malicious, *honest]) == list(range(7))
    assert len(malicious) == 3


def test_a_round_without_honest_clients_goes_on_with_honest_behaviour() -> None:
    values: dict[str, Any] = {"clients": 3, "participation": 0.3, "malicious_per_round": "sampled", "rounds": 12}
    attacked = simulation(f=2, attack=NonFinite(), **values)
    trace = attacked.run()
    kinds = stream(0, "sampling")
    alone = sum(bool(np.isin(kinds.permutation(3)[:1], attacked.setup.malicious).all()) for _ in range(12))
    assert alone > 0
    assert trace.rejected_rows == 0
    assert trace.held_rounds == 0


@pytest.mark.parametrize("f", [-1, 6, 7])
def test_somebody_has_to_be_honest(f: int) -> None:
    with pytest.raises(ParameterError, match=rf"0 <= f < clients\. Found f={f}, clients=6"):
        simulation(f=f, attack=IPM())


def test_the_population_has_to_fit() -> None:
    with pytest.raises(ParameterError, match=r"Found 5 and 6\. Prepare the task with clients=6"):
        simulation(world=population(clients=5))


# -- common random numbers, determinism


@pytest.mark.parametrize("attack", [None, *ATTACKS], ids=repr)
@pytest.mark.parametrize("defense", [Mean(), TrimmedMean(f=2), Krum(f=1), CenteredClipping()], ids=repr)
def test_every_defense_and_attack_meets_the_same_world(defense: Aggregator, attack: Attack | None) -> None:
    values: dict[str, Any] = {"participation": 0.9, "rounds": 4, "f": 1}
    plain, other = simulation(**values), simulation(defense, attack=attack, **values)
    messages = [computed(sim).sent for sim in (plain, other)]
    assert torch.equal(messages[0], messages[1])
    assert plain.setup.malicious.tolist() == other.setup.malicious.tolist()
    for sim in (plain, other):
        sim.run()
    assert plain.setup.rng["sampling"].bit_generator.state == other.setup.rng["sampling"].bit_generator.state


@pytest.mark.parametrize("attack", [None, *ATTACKS], ids=repr)
def test_equal_seeds_give_equal_bits(attack: Attack | None) -> None:
    values: dict[str, Any] = {"f": 2, "attack": attack, "faults": [Dropout(probability=0.1)], "client_momentum": 0.5}
    first, second = (simulation(Median(), model=SMALL_MLP, **values) for _ in range(2))
    traces = first.run(), second.run()
    assert torch.equal(weights(first), weights(second))
    assert [(t.accuracy, t.loss, t.lost_rows, t.rejected_rows, t.malicious) for t in traces[:1]] == [
        (t.accuracy, t.loss, t.lost_rows, t.rejected_rows, t.malicious) for t in traces[1:]
    ]
    other = simulation(Median(), model=SMALL_MLP, seed=1, **values)
    other.run()
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_an_attack_without_attackers_changes_nothing(attack: Attack) -> None:
    plain, attacked = simulation(MultiKrum(f=1)), simulation(MultiKrum(f=1), attack=attack, f=0)
    quiet, trace = plain.run(), attacked.run()
    assert quiet.accuracy == trace.accuracy
    assert torch.equal(weights(plain), weights(attacked))
    assert trace.malicious == []
    assert trace.malicious_share is None


@pytest.mark.parametrize("attack", [None, *ATTACKS], ids=repr)
def test_global_random_states_stay_as_they_are(attack: Attack | None) -> None:
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index] # noqa: NPY002

    before = states()
    simulation(f=2, attack=attack, faults=[Dropout()], participation=0.8).run()
    assert states() == before


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_a_population_can_be_used_again(attack: Attack) -> None:
    world = population(SMALL_MLP)
    kept = world.initial.clone(), world.features.clone(), world.labels.clone()
    first = simulation(world=world, f=2, attack=attack)
    first.run()
    second = simulation(world=world, f=2, attack=attack)
    second.run()
    assert torch.equal(weights(first), weights(second))
    now = world.initial, world.features, world.labels
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))
