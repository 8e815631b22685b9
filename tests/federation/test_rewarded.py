"""Own models and rewards: the round by hand, who gets what, fairness, and what is the same for every defense."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregator
from robustfl.attacks import FGSM, IPM, Dropout, FreeRider, Gaussian, LabelFlip, NonFinite, SignFlip
from robustfl.defenses import RFFL, Mean
from robustfl.errors import ParameterError
from robustfl.federation import Federation, Round, Simulation, Task, assemble
from robustfl.federation.channels.dense import Dense
from robustfl.federation.classified import classified
from robustfl.federation.clients.training import predict
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import ClassImbalance, Partition, PowerLaw
from robustfl.federation.models.architectures import MLP
from robustfl.federation.observers.accuracy import Accuracy
from robustfl.federation.observers.fairness import collaborative_fairness
from robustfl.federation.observers.standalone import standalone_accuracies
from robustfl.reputation.rewards import reward
from robustfl.threats import Attack
from tests.federation.worlds import (
    CLIENTS,
    SMALL_MLP,
    batches,
    computed,
    gradient,
    in_order,
    own_models,
    population,
    rules,
    simulation,
    task,
    topology,
    weights,
)


def rewarded(defense: Aggregator | None = None, **values: Any) -> Simulation:
    """A simulation with rewards; `attack`, `f`, `faults`, ... go to it, all other values to the settings."""
    chosen = {"model": SMALL_MLP, "message": "delta", "server": {"learning_rate": 1.0}, **values}
    return simulation(defense or RFFL(), **chosen)


# -- the round by hand


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_rounds_by_hand(message: str, mode: str) -> None:
    """Own cut steps and rewards from the layers of the server's step, in plain loops over clients and layers."""
    values: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 2, "local_learning_rate": 0.2}
    sim = rewarded(RFFL(clip="median"), message=message, client_mode=mode, server={"learning_rate": 0.7}, **values)
    sim.run()
    made, rule = sim.setup.population, RFFL(clip="median")
    rule.begin({client: len(part) for client, part in enumerate(made.parts)})
    models = [made.initial.clone() for _ in range(CLIENTS)]
    for clients in batches(made, rounds=6, steps=2, size=4):
        messages = []
        for model, (x, y) in zip(models, clients, strict=True):
            local = model.clone()
            for features, labels in zip(x, y, strict=True):
                local = local - 0.2 * gradient(made, local, features, labels)
            messages.append(local - model if message == "delta" else (model - local) / 0.2 / 2)
        answer = rule.aggregate(torch.stack(messages))
        step = (0.7 if message == "delta" else -0.7) * answer.value
        own = 1.0 if message == "delta" else -0.7
        for client in range(CLIENTS):
            models[client] = models[client] + own * answer.info["kept"][client] * messages[client]
            layers, start = [], 0
            for shape in made.shapes.values():
                layers.append(reward(step[start : start + shape.numel()], answer.info["quotas"][client]))
                start += shape.numel()
            models[client] = models[client] + torch.cat(layers)
    assert torch.allclose(own_models(sim), torch.stack(models), atol=1e-5)
    assert len({tuple(model.tolist()) for model in own_models(sim)}) == CLIENTS


def test_a_round_that_is_held_leaves_everybody_its_own_step() -> None:
    lost = rewarded(faults=(Dropout(probability=1 - 1e-9),))
    trace = lost.run()
    assert trace.held_rounds == 6
    assert trace.more["client_accuracy"] == trace.more["standalone_accuracy"]
    assert trace.more["mean_gain"] == 0.0
    assert trace.bytes_down == 0.0
    assert torch.equal(weights(lost), lost.setup.population.initial)


def test_who_is_absent_stays_as_it_is() -> None:
    sim, seen = rewarded(participation=0.5), set()
    for number in range(4):
        before = own_models(sim).clone()
        answer = sim.play(number).receivers[0].answer
        moved = torch.nonzero((own_models(sim) != before).any(dim=1)).flatten().tolist()
        assert len(moved) == 3
        assert answer is not None
        assert set(answer.info["quotas"]) == set(moved)
        seen |= set(moved)
    assert len(seen) > 3


def test_excluded_clients_train_on_alone_and_rejected_ones_get_nothing() -> None:
    sim = rewarded(RFFL(grace=2), attack=SignFlip(), f=2, rounds=4)
    trace = sim.run()
    assert sorted(trace.more["excluded"]) == trace.malicious
    assert set(trace.more["excluded_rounds"]) == {3}
    assert trace.more["excluded_honest"] == 0
    assert all(trace.more["quotas"][client] == 0.0 for client in trace.malicious)
    before = own_models(sim).clone()
    round = sim.play(4)
    for client in trace.malicious:
        assert torch.equal(own_models(sim)[client], before[client] + own_message(round, client))
    frozen = rewarded(attack=NonFinite(), f=2)
    assert frozen.run().rejected_rows == 12
    initial = frozen.setup.population.initial
    assert all(torch.equal(own_models(frozen)[client], initial) for client in frozen.setup.malicious)


def own_message(round: Round, client: int) -> torch.Tensor:
    """What the client would have sent in a round, had it been honest."""
    assert round.lesson is not None
    assert round.computed is not None
    return round.computed[round.lesson.ids.tolist().index(client)]


def part_of(sim: Simulation, round: Round, client: int) -> torch.Tensor:
    """The client's reward in the last round."""
    answer, previous = round.receivers[0].answer, topology(sim).ownership.server.previous
    assert answer is not None
    assert previous is not None
    named = sim.setup.population.views(weights(sim) - previous)
    return torch.cat([reward(layer, answer.info["quotas"][client]).reshape(-1) for layer in named.values()])


def test_malicious_clients_get_rewards_and_move_on_their_own_data_where_they_have_trained() -> None:
    """Nobody can make them shorten their steps: with a cut of 0.01, only honest ones do."""
    for attack, trains in ((FreeRider(), False), (SignFlip(), True)):
        sim = rewarded(RFFL(clip=0.01), attack=attack, f=1, rounds=1)
        round = sim.play(0)
        client = int(sim.setup.malicious[0])
        assert int((part_of(sim, round, client) != 0).sum()) > 0
        own = own_message(round, client) if trains else torch.zeros(sim.setup.population.d)
        expected = sim.setup.population.initial + own + part_of(sim, round, client)
        assert torch.allclose(own_models(sim)[client], expected, atol=1e-7)
        assert not trains or float(own.norm()) > 0.01
        honest = int(sim.setup.honest[0])
        moved = (own_models(sim)[honest] - sim.setup.population.initial - part_of(sim, round, honest)).norm()
        assert float(moved) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("quota", [0.0, 0.3, 1.0])
def test_bytes_are_those_of_sparse_rewards_while_these_are_smaller(quota: float) -> None:
    class Fixed(RFFL):
        def _aggregate(self, rows: Any) -> Any:
            outcome = super()._aggregate(rows)
            outcome.info["quotas"] = dict.fromkeys(outcome.info["quotas"], quota)
            return outcome

    sim = rewarded(Fixed(), rounds=3)
    trace = sim.run()
    entries = sum(int(np.ceil(quota * shape.numel() - 1e-9)) for shape in sim.setup.population.shapes.values())
    assert trace.bytes_up == 4 * sim.setup.population.d
    assert trace.bytes_down == pytest.approx(min(8 * entries, 4 * sim.setup.population.d), rel=0.1)


# -- what is reported


def test_the_accuracy_is_the_mean_over_honest_clients() -> None:
    sim = rewarded(attack=Gaussian(), f=2, evaluate_every=6)
    trace = sim.run()
    honest = [trace.more["client_accuracy"][client] for client in sim.setup.honest]
    assert trace.accuracy[-1][1] == pytest.approx(np.mean(honest))
    assert trace.more["best_accuracy"] == max(honest)
    assert len(trace.more["client_accuracy"]) == len(trace.more["reputations"]) == CLIENTS
    alone = [trace.more["standalone_accuracy"][client] for client in sim.setup.honest]
    assert trace.more["mean_gain"] == pytest.approx(np.mean(honest) - np.mean(alone))
    assert trace.more["fairness"] == pytest.approx(np.corrcoef(alone, honest)[0, 1])
    json.dumps(trace.more, allow_nan=False)
    (accuracy,) = [observer for observer in sim.observers if isinstance(observer, Accuracy)]
    made = sim.setup.population
    right = (predict(made, accuracy.best, made.test_features).argmax(dim=1) == made.test_labels).double().mean()
    assert float(right) == pytest.approx(trace.more["best_accuracy"])


def test_attacks_on_test_samples_meet_the_best_model_of_an_honest_client() -> None:
    values: dict[str, Any] = {"evasions": [FGSM(epsilon=0.3)], "evasion_samples": 1_000}
    more = rewarded(attack=Gaussian(), f=2, evaluate_every=6, **values).run().more
    assert more["clean_accuracy"] == pytest.approx(more["best_accuracy"])
    assert more["worst_robust_accuracy"] < more["clean_accuracy"]


def test_a_targeted_attack_is_measured_on_every_honest_clients_model() -> None:
    sim = rewarded(attack=LabelFlip(mode="targeted", source=0, target=1), f=2, evaluate_every=2)
    more = sim.run().more
    labels, features = sim.setup.population.test_labels, sim.setup.population.test_features
    taken, right = [], []
    for client in sim.setup.honest:
        found = predict(sim.setup.population, own_models(sim)[client], features).argmax(dim=1)
        taken.append(float((found[labels == 0] == 1).double().mean()))
        right.append(float((found[labels != 0] == labels[labels != 0]).double().mean()))
    assert more["attack_success"] == pytest.approx(np.mean(taken))
    assert more["other_accuracy"] == pytest.approx(np.mean(right))
    assert len(more["attack_success_curve"]) == 4  # after 2 rounds, and after each of the last three
    assert "fairness" in more


def test_a_model_that_is_no_longer_finite_ends_the_run() -> None:
    sim = rewarded(local_learning_rate=1e30, rounds=8, evaluate_every=1)
    trace = sim.run()
    assert trace.diverged
    assert "fairness" not in trace.more
    assert len(trace.accuracy) < 8


@pytest.mark.parametrize(
    ("alone", "together", "expected"),
    [
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], 1.0),
        ([0.1, 0.2, 0.3], [0.7, 0.6, 0.5], -1.0),
        ([0.1, 0.2, 0.3, 0.4], [0.5, 0.9, 0.1, 0.5], -0.4 / np.sqrt(1.6)),
        ([0.1, 0.2, 0.3], [0.7, 0.7, 0.7], None),
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.3], None),
        ([0.3], [0.4], None),
    ],
)
def test_fairness_is_a_correlation_or_not_defined(
    alone: list[float], together: list[float], expected: float | None
) -> None:
    found = collaborative_fairness(np.array(alone), np.array(together))
    assert found == (None if expected is None else pytest.approx(expected))


# -- the same world for everybody


def test_equal_seeds_give_equal_bits_and_another_seed_another_world() -> None:
    values: dict[str, Any] = {"attack": FreeRider(), "f": 2, "participation": 0.7, "client_momentum": 0.5}
    first, second, other = (rewarded(seed=seed, **values) for seed in (0, 0, 1))
    traces = [sim.run() for sim in (first, second, other)]
    assert torch.equal(own_models(first), own_models(second))
    assert traces[0].more == traces[1].more
    assert not torch.equal(own_models(first), own_models(other))


@pytest.mark.parametrize("attack", [None, IPM(), LabelFlip()], ids=repr)
def test_clients_identities_and_first_batches_are_those_of_a_common_model(attack: Attack | None) -> None:
    values: dict[str, Any] = {"message": "delta", "participation": 0.7, "world": population(SMALL_MLP)}
    sims = [simulation(rule, attack=attack, f=2 if attack else 0, seed=3, **values) for rule in (Mean(), RFFL())]
    rounds = [computed(sim).sent for sim in sims]
    assert torch.allclose(rounds[0], rounds[1], atol=1e-7)  # one model for all, or as many equal ones
    assert sims[0].setup.malicious.tolist() == sims[1].setup.malicious.tolist()


def test_standalone_accuracies_are_of_training_by_hand_and_computed_once() -> None:
    made, settings = population(SMALL_MLP), rules(message="delta", rounds=5, local_learning_rate=0.3)
    found = standalone_accuracies(made, settings, RFFL(), 0)
    for client in range(CLIENTS):
        model = made.initial.clone()
        for clients in batches(made, rounds=5, steps=1, size=4):
            x, y = clients[client]
            model = model - 0.3 * gradient(made, model, x[0], y[0])
        assert found[client] == pytest.approx(classified(made, model).plain, abs=1e-9)
    later = settings.model_copy(update={"evaluate_every": 1})
    assert standalone_accuracies(made, later, RFFL(), 0) is found
    assert standalone_accuracies(made, settings, RFFL(), 1) is not found
    assert standalone_accuracies(made, settings.model_copy(update={"rounds": 6}), RFFL(), 0) is not found
    watched = weakref.ref(made)
    del made
    gc.collect()
    assert watched() is None, "the cache keeps no population alive"


def test_computing_standalone_accuracies_changes_nothing_else() -> None:
    first = rewarded()
    standalone_accuracies(first.setup.population, first.setup.settings, first.channel.defense, 0)
    again = rewarded(world=first.setup.population)
    first.run()
    again.run()
    assert torch.equal(own_models(first), own_models(again))


# -- which defenses


def test_without_rewards_it_is_an_ordinary_rule() -> None:
    settings, made = rules(server={"learning_rate": 0.3}), population(SMALL_MLP)
    trace = assemble(made, settings, RFFL(), channel=Dense).run()
    assert trace.accuracy
    assert "quotas" not in trace.more


def test_a_defense_without_the_protocol_is_refused() -> None:
    class Claiming(Mean):
        channel: ClassVar[str] = "rewards"

    with pytest.raises(ParameterError, match=r"should have a method `begin\(sizes\)`"):
        simulation(Claiming())


def test_the_first_round_counts_by_the_sizes_of_the_shards() -> None:
    made = task(SMALL_MLP, PowerLaw()).prepare(clients=CLIENTS, seed=0)
    sim = rewarded(RFFL(clip=1e9), world=made)
    answer = in_order(sim.play(0).receivers[0]).answer
    assert answer is not None
    assert answer.weights is not None
    sizes = np.array([len(part) for part in made.parts])
    np.testing.assert_allclose(answer.weights, sizes / sizes.sum(), rtol=1e-12)


# -- what it is for


@pytest.mark.slow
@pytest.mark.parametrize(
    ("partition", "attack"), [(PowerLaw(), None), (PowerLaw(), FreeRider()), (ClassImbalance(), FreeRider())], ids=repr
)
def test_whoever_brings_more_gets_more_on_digits(partition: Partition, attack: Attack | None) -> None:
    settings = Federation(
        clients=10, rounds=40, algorithm="fedavg", local_steps=10, batch_size=32, message="delta", evaluate_every=40
    )
    made = Task(data=Digits(), model=MLP(hidden=(24,)), partition=partition).prepare(clients=10, seed=0)
    sim = assemble(made, settings, RFFL(), attack=attack, f=2 if attack else 0)
    trace = sim.run()
    assert trace.more["fairness"] > 0.9
    assert set(trace.malicious) <= set(trace.more["excluded"])
    if isinstance(partition, PowerLaw):
        assert trace.more["excluded_honest"] == 0
        assert trace.more["mean_gain"] > 0
