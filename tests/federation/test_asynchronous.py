"""The asynchronous server: who is in a buffer, from which model, with which weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from robustfl.attacks import ALIE, IPM, Churn, Clones, Dropout, LabelFlip, NonFinite, OutOfOrder, Stale
from robustfl.defenses import FRL, RFFL, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation.asynchronous import AsynchronousSimulation, staleness_weights
from robustfl.federation.settings import Server
from robustfl.federation.simulations import simulation_for
from tests.federation.worlds import CLIENTS, gradient, population, rules, simulation


class Buffered(AsynchronousSimulation):
    """Keeps, for each step, who was in the buffer, how old each model was, and the messages."""

    def __init__(self, *given: Any, **values: Any) -> None:
        super().__init__(*given, **values)
        self.steps: list[tuple[list[int], list[int], Tensor]] = []
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.most_models = 0

    def client_messages(self, number: int, ids: Any, features: Tensor, labels: Tensor) -> Tensor:
        self.batches.append((features, labels))
        return super().client_messages(number, ids, features, labels)

    def aggregated(self, messages: Tensor, ids: Any) -> Tensor | None:
        ages = self.members.number - self._begun[ids]
        self.steps.append((ids.tolist(), ages.tolist(), messages.clone()))
        self.most_models = max(self.most_models, len(self._models))
        return super().aggregated(messages, ids)


def buffered(buffer: int, defense: Any = None, *, rounds: int = 20, seed: int = 0, **values: Any) -> Buffered:
    """An asynchronous simulation that has been run."""
    given = {name: values.pop(name) for name in ("attack", "f", "faults") if name in values}
    server = {"mode": "asynchronous", "buffer": buffer, "learning_rate": 0.3, **values.pop("server", {})}
    chosen = rules(rounds=rounds, server=server, **values)
    sim = Buffered(population(seed=seed), chosen, defense or Mean(), seed=seed, **given)
    sim.run()
    return sim


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_buffer_for_all_clients_is_the_synchronous_server(spread: float) -> None:
    values: dict[str, Any] = {"client_momentum": 0.5, "rounds": 6}
    plain = simulation(server={"learning_rate": 0.3}, **values)
    plain.run()
    sim = buffered(CLIENTS, server={"speed_spread": spread}, **values)
    torch.testing.assert_close(sim.weights, plain.weights, rtol=1e-5, atol=1e-6)
    assert (sim.trace.more["staleness"], sim.trace.more["worst_staleness"]) == (0.0, 0)


def test_each_step_takes_as_many_messages_as_the_buffer_holds_and_no_client_twice() -> None:
    for buffer in (1, 4):
        sim = buffered(buffer)
        assert {len(ids) for ids, _, _ in sim.steps} == {buffer}
        assert all(len(set(ids)) == buffer for ids, _, _ in sim.steps)


def test_a_message_is_as_old_as_the_steps_since_its_client_began() -> None:
    sim, begun = buffered(2), dict.fromkeys(range(CLIENTS), 0)
    for number, (ids, ages, _) in enumerate(sim.steps):
        assert ages == [number - begun[client] for client in ids]
        begun |= dict.fromkeys(ids, number + 1)
    assert sim.trace.more["worst_staleness"] == max(age for _, ages, _ in sim.steps for age in ages) > 2
    assert sim.trace.more["staleness"] == pytest.approx(np.mean([ages for _, ages, _ in sim.steps]))


def test_messages_are_computed_with_old_models_and_weighted_by_their_age() -> None:
    sim = buffered(2, rounds=12)
    world, models = sim.population, [sim.population.initial.clone()]
    for number, ((_, ages, messages), (x, y)) in enumerate(zip(sim.steps, sim.batches, strict=True)):
        gradients = [gradient(world, models[number - age], x[i, 0], y[i, 0]) for i, age in enumerate(ages)]
        expected = torch.stack([g * (1 + age) ** -0.5 for g, age in zip(gradients, ages, strict=True)])
        torch.testing.assert_close(messages, expected, rtol=1e-3, atol=1e-5)
        models.append(models[-1] - 0.3 * messages.mean(dim=0))
    torch.testing.assert_close(sim.weights, models[-1], rtol=1e-4, atol=1e-5)


def test_slow_clients_are_heard_less_often_and_without_a_spread_all_alike() -> None:
    heard = [
        np.bincount([i for ids, _, _ in buffered(2, server=server, rounds=60).steps for i in ids], minlength=6)
        for server in ({"speed_spread": 2.0}, {"speed_spread": 0.0})
    ]
    assert heard[0].max() > 4 * heard[0].min()
    assert heard[1].tolist() == [20] * 6


def test_models_are_kept_only_while_somebody_computes_with_them() -> None:
    assert buffered(1, rounds=40).most_models <= CLIENTS + 1


@pytest.mark.parametrize("attack", [IPM(), ALIE(), LabelFlip(), NonFinite()], ids=str)
def test_malicious_clients_answer_at_once_with_the_newest_model(attack: Any) -> None:
    sim = buffered(4, TrimmedMean(f=1), attack=attack, f=1)
    (bad,) = sim.malicious.tolist()
    assert all(ages[ids.index(bad)] == 0 for ids, ages, _ in sim.steps)
    assert bool(sim.weights.isfinite().all())


def test_the_clients_of_a_step_do_not_depend_on_the_defense_or_the_attack() -> None:
    def others(sim: Buffered) -> list[list[int]]:
        return [ids for ids, _, _ in sim.steps]

    assert others(buffered(3, attack=IPM(), f=1)) == others(buffered(3, TrimmedMean(f=1), attack=ALIE(), f=1))
    assert others(buffered(3)) != others(buffered(3, seed=1))


def test_it_repeats_itself_and_composes_with_faults_and_identities() -> None:
    faults = [Dropout(probability=0.2), OutOfOrder()]
    pair = [buffered(4, TrimmedMean(f=1), attack=Clones(count=2) >> IPM(), f=1, faults=faults) for _ in range(2)]
    assert torch.equal(pair[0].weights, pair[1].weights)
    assert pair[0].trace.lost_rows > 0


@pytest.mark.parametrize("fault", [Stale(), Churn()], ids=str)
def test_faults_that_decide_about_models_are_refused(fault: Any) -> None:
    with pytest.raises(ParameterError, match="with an asynchronous server their working times do"):
        buffered(2, faults=[fault])


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, [1.0, 0.70710678, 0.5, 0.33333333]),
        ({"staleness_exponent": 1.0}, [1.0, 0.5, 0.25, 1 / 9]),
        ({"staleness": "constant"}, [1.0] * 4),
        ({"staleness": "hinge"}, [1.0, 1.0, 1.0, 1 / 3]),
        ({"staleness": "hinge", "staleness_grace": 1, "staleness_exponent": 10.0}, [1.0, 1.0, 1 / 21, 1 / 71]),
    ],
)
def test_staleness_weights(server: dict[str, Any], expected: list[float]) -> None:
    made = Server.model_validate({"mode": "asynchronous", **server})
    np.testing.assert_allclose(staleness_weights(np.array([0, 1, 3, 8]), made), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"server": {"buffer": 3}}, "buffer belongs to `mode: asynchronous`"),
        ({"server": {"mode": "asynchronous", "buffer": 7}}, r"buffer <= clients .*Found buffer=7, clients=6"),
        ({"server": {"mode": "asynchronous"}, "participation": 0.5}, "participation = 1. Found .*participation=0.5"),
        ({"server": {"mode": "asynchronous", "staleness_exponent": 0}}, "greater than 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rules(**values)


def test_every_malicious_client_has_a_row_in_every_buffer() -> None:
    chosen = rules(clients=10, server={"mode": "asynchronous", "buffer": 4})
    assert chosen.per_round == 4
    assert [chosen.malicious_rows(f) for f in (0, 2, 4, 6)] == [0, 2, 4, 4]


def test_only_dense_updates_know_an_asynchronous_server() -> None:
    chosen = rules(server={"mode": "asynchronous"})
    assert simulation_for(Mean(), chosen) is AsynchronousSimulation
    for defense in (RFFL(), FRL()):
        with pytest.raises(ParameterError, match="for which there is no asynchronous server"):
            simulation_for(defense, chosen)
