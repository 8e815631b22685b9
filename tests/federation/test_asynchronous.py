"""The asynchronous server: who is in a buffer, from which model, with which weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from robustfl.attacks import (
    ALIE,
    IPM,
    Churn,
    Clones,
    Dropout,
    LabelFlip,
    NonFinite,
    OutOfOrder,
    ReverseRanking,
    SignFlip,
    Stale,
)
from robustfl.defenses import FRL, RFFL, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Round, Server, Simulation, Trace, assemble
from robustfl.federation.assembly import refusal
from robustfl.federation.observers.contract import Observer
from robustfl.federation.topologies.ownership import CommonModel
from robustfl.federation.transforms import staleness_weights
from tests.federation.worlds import (
    CLIENTS,
    SMALL_MLP,
    Kept,
    gradient,
    in_order,
    own_models,
    population,
    rules,
    simulation,
    topology,
    weights,
)


class MostModels(Observer):
    """How many models the server has kept at most."""

    def __init__(self) -> None:
        self.count = 0
        self.versions: dict[int, Tensor] = {}

    def hear(self, round: Round) -> None:
        self.count = max(self.count, len(self.versions))


@dataclass(frozen=True, kw_only=True)
class Buffered:
    """An asynchronous simulation that has been run."""

    sim: Simulation
    trace: Trace
    rounds: list[Round]
    most_models: int

    @property
    def steps(self) -> list[tuple[list[int], list[int], Tensor]]:
        """Of each step, who was in the buffer, how old each model was, and the messages."""
        servers = [(round, in_order(round.receivers[0])) for round in self.rounds]
        return [(server.ids.tolist(), round.ages(server.ids).tolist(), server.arrived) for round, server in servers]


def buffered(buffer: int, defense: Any = None, *, server: dict[str, Any] | None = None, **values: Any) -> Buffered:
    """An asynchronous simulation that has been run."""
    rules = {"mode": "asynchronous", "buffer": buffer, "learning_rate": 0.3, **(server or {})}
    kept, most = Kept(), MostModels()
    sim = simulation(defense, server=rules, observers=[kept, most], **{"rounds": 20, **values})
    ownership = topology(sim).ownership
    if isinstance(ownership, CommonModel):
        most.versions = ownership._versions
    return Buffered(sim=sim, trace=sim.run(), rounds=kept.rounds, most_models=most.count)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_buffer_for_all_clients_is_the_synchronous_server(spread: float) -> None:
    values: dict[str, Any] = {"client_momentum": 0.5, "rounds": 6}
    plain = simulation(server={"learning_rate": 0.3}, **values)
    plain.run()
    late = buffered(CLIENTS, server={"speed_spread": spread}, **values)
    torch.testing.assert_close(weights(late.sim), weights(plain), rtol=1e-5, atol=1e-6)
    assert (late.trace.more["staleness"], late.trace.more["worst_staleness"]) == (0.0, 0)


def test_each_step_takes_as_many_messages_as_the_buffer_holds_and_no_client_twice() -> None:
    for buffer in (1, 4):
        late = buffered(buffer)
        assert {len(ids) for ids, _, _ in late.steps} == {buffer}
        assert all(len(set(ids)) == buffer for ids, _, _ in late.steps)


def test_a_message_is_as_old_as_the_steps_since_its_client_began() -> None:
    late, begun = buffered(2), dict.fromkeys(range(CLIENTS), 0)
    for number, (ids, ages, _) in enumerate(late.steps):
        assert ages == [number - begun[client] for client in ids]
        begun |= dict.fromkeys(ids, number + 1)
    assert late.trace.more["worst_staleness"] == max(age for _, ages, _ in late.steps for age in ages) > 2
    assert late.trace.more["staleness"] == pytest.approx(np.mean([ages for _, ages, _ in late.steps]))


def test_messages_are_computed_with_old_models_and_weighted_by_their_age() -> None:
    late = buffered(2, rounds=12)
    world, models = late.sim.setup.population, [late.sim.setup.population.initial.clone()]
    lessons = [(round.lesson.features, round.lesson.labels) for round in late.rounds if round.lesson is not None]
    for number, ((_, ages, messages), (x, y)) in enumerate(zip(late.steps, lessons, strict=True)):
        gradients = [gradient(world, models[number - age], x[i, 0], y[i, 0]) for i, age in enumerate(ages)]
        expected = torch.stack([g * (1 + age) ** -0.5 for g, age in zip(gradients, ages, strict=True)])
        torch.testing.assert_close(messages, expected, rtol=1e-3, atol=1e-5)
        models.append(models[-1] - 0.3 * messages.mean(dim=0))
    torch.testing.assert_close(weights(late.sim), models[-1], rtol=1e-4, atol=1e-5)


def test_slow_clients_are_heard_less_often_and_without_a_spread_all_alike() -> None:
    heard = [
        np.bincount([i for ids, _, _ in buffered(2, server=server, rounds=60).steps for i in ids], minlength=6)
        for server in ({"speed_spread": 2.0}, {"speed_spread": 0.0})
    ]
    assert heard[0].max() > 4 * heard[0].min()
    assert heard[1].tolist() == [20] * 6


def test_models_are_kept_only_while_somebody_computes_with_them() -> None:
    assert 1 < buffered(1, rounds=40).most_models <= CLIENTS + 1


@pytest.mark.parametrize("attack", [IPM(), ALIE(), LabelFlip(), NonFinite()], ids=str)
def test_malicious_clients_answer_at_once_with_the_newest_model(attack: Any) -> None:
    late = buffered(4, TrimmedMean(f=1), attack=attack, f=1)
    (bad,) = late.sim.setup.malicious.tolist()
    assert all(ages[ids.index(bad)] == 0 for ids, ages, _ in late.steps)
    assert bool(weights(late.sim).isfinite().all())


def test_the_clients_of_a_step_do_not_depend_on_the_defense_or_the_attack() -> None:
    def others(late: Buffered) -> list[list[int]]:
        return [ids for ids, _, _ in late.steps]

    assert others(buffered(3, attack=IPM(), f=1)) == others(buffered(3, TrimmedMean(f=1), attack=ALIE(), f=1))
    assert others(buffered(3)) != others(buffered(3, seed=1))


def test_it_repeats_itself_and_composes_with_faults_and_identities() -> None:
    faults = [Dropout(probability=0.2), OutOfOrder()]
    pair = [buffered(4, TrimmedMean(f=1), attack=Clones(count=2) >> IPM(), f=1, faults=faults) for _ in range(2)]
    assert torch.equal(weights(pair[0].sim), weights(pair[1].sim))
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
    assert isinstance(made.staleness, str)
    np.testing.assert_allclose(staleness_weights(np.array([0, 1, 3, 8]), made, made.staleness), expected, rtol=1e-7)


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


# -- other channels


@pytest.mark.parametrize("defense", [FRL(), RFFL()], ids=str)
def test_every_channel_with_a_buffer_for_all_clients_is_that_of_a_synchronous_server(defense: Any) -> None:
    values: dict[str, Any] = {"model": SMALL_MLP, "algorithm": "fedavg", "local_steps": 2, "rounds": 4}
    plain = simulation(defense, server={"learning_rate": 0.3}, **values)
    expected = plain.run()
    late = buffered(CLIENTS, defense, server={"speed_spread": 0.0, "staleness": "constant"}, **values)
    assert torch.equal(weights(late.sim), weights(plain))
    assert late.trace.accuracy == expected.accuracy
    assert late.trace.more == {**expected.more, "staleness": 0.0, "worst_staleness": 0}
    if defense.channel == "rewards":
        assert torch.equal(own_models(late.sim), own_models(plain))


def test_rankings_are_computed_with_the_scores_of_when_a_client_began() -> None:
    class States(Observer):
        """The scores after every step."""

        def __init__(self) -> None:
            self.after: list[Tensor] = []

        def hear(self, round: Round) -> None:
            self.after.append(round.receivers[0].model.state)

    states, server = States(), {"mode": "asynchronous", "buffer": 2, "staleness": "constant"}
    kept = Kept()
    sim = simulation(FRL(), model=SMALL_MLP, server=server, rounds=12, observers=[states, kept])
    states.after.append(topology(sim).ownership.server.state)
    trace = sim.run()
    ages: list[int] = []
    for number, round in enumerate(kept.rounds):
        assert len(round.honest) == 2
        ages += round.ages(round.honest).tolist()
        assert round.models is not None
        expected = [states.after[number - age] for age in round.ages(round.honest).tolist()]
        assert torch.equal(round.models, torch.stack(expected))
    assert max(ages) > 1
    assert (trace.more["staleness"], trace.more["worst_staleness"]) == (pytest.approx(np.mean(ages)), max(ages))
    assert not trace.held_rounds
    assert not torch.equal(states.after[-1], states.after[0])


@pytest.mark.parametrize("attack", [ReverseRanking(), LabelFlip()], ids=str)
def test_attackers_on_rankings_answer_at_once(attack: Any) -> None:
    late = buffered(4, FRL(), server={"staleness": "constant"}, model=SMALL_MLP, attack=attack, f=1)
    (bad,) = late.sim.setup.malicious.tolist()
    assert all(ages[ids.index(bad)] == 0 for ids, ages, _ in late.steps)
    assert late.trace.rejected_rows == 0


def test_rewards_go_to_those_in_the_buffer_and_the_server_weights_their_messages_by_age() -> None:
    server = {"mode": "asynchronous", "buffer": 3, "learning_rate": 1.0}
    sim, ages = simulation(RFFL(), model=SMALL_MLP, message="delta", server=server), set()
    for number in range(12):
        before = own_models(sim).clone()
        round = sim.play(number)
        moved = torch.nonzero((own_models(sim) != before).any(dim=1)).flatten().tolist()
        assert moved == round.honest.tolist()
        assert round.models is not None
        assert round.computed is not None
        assert torch.equal(round.models, before[round.honest])
        factors = (1.0 + round.ages(round.honest)) ** -0.5
        torch.testing.assert_close(
            in_order(round.receivers[0]).arrived, round.computed * round.computed.new_tensor(factors)[:, None]
        )
        ages |= set(round.ages(round.honest).tolist())
    assert max(ages) > 0


def test_rewards_from_an_asynchronous_server_are_reported() -> None:
    late = buffered(3, RFFL(grace=2), model=SMALL_MLP, message="delta", attack=SignFlip(), f=1)
    assert set(late.trace.malicious) <= set(late.trace.more["excluded"])
    assert late.trace.more["worst_staleness"] > 0
    assert len(late.trace.more["client_accuracy"]) == len(late.trace.more["standalone_accuracy"]) == CLIENTS


def test_messages_that_cannot_be_weighted_are_refused_with_a_weight() -> None:
    weighted, constant = (
        rules(server={"mode": "asynchronous", "staleness": kind}) for kind in ("polynomial", "constant")
    )
    reason = refusal(FRL(), weighted)
    assert reason is not None
    assert "'rankings' cannot be multiplied by a staleness weight. Found server.staleness='polynomial'" in reason
    assert "Take `staleness: constant`" in reason
    with pytest.raises(ParameterError, match="cannot be multiplied by a staleness weight"):
        assemble(population(), weighted, FRL())
    assert [refusal(rule, constant) for rule in (FRL(), RFFL(), Mean())] == [None] * 3
    assert [refusal(rule, weighted) for rule in (RFFL(), Mean())] == [None] * 2


def test_a_channel_that_does_not_exist_is_refused() -> None:
    class Whispered(Mean):
        channel: ClassVar[str] = "whispers"

    with pytest.raises(ParameterError, match=r"speaks the channel 'whispers'\. Channels that exist: dense, rewards"):
        simulation(Whispered())
