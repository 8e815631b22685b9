"""What honest clients would send with other labels: in every kind of round, for the adversary who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import OmniscientLabelFlip, Stale
from robustfl.defenses import RFFL, Mean, TrimmedMean
from robustfl.errors import AttackError, KnowledgeError
from robustfl.federation.asynchronous import AsynchronousSimulation, staleness_weights
from robustfl.federation.briefing import briefing
from robustfl.federation.rewarded import RewardedSimulation
from robustfl.federation.simulation import Simulation
from robustfl.threats import Adversary, Facts, Knowledge, UpdateAttack, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, batches, gradient, population, rules, simulation

FLIP = OmniscientLabelFlip()


def asked(sim: Simulation, number: int = 0) -> tuple[Tensor, Tensor]:
    """The honest messages [h, d] of a round, and what their clients would send with reversed labels."""
    malicious, honest = sim.sample()
    own, messages = sim.honest_messages(number, malicious, honest)
    relabelled = briefing(sim, number, malicious, honest, own, messages).relabelled
    assert relabelled is not None
    return messages, relabelled(lambda labels, classes: classes - 1 - labels)


def flipped(labels: Any) -> Any:
    return 2 - labels


def test_the_answer_is_the_gradient_on_the_wrong_labels() -> None:
    sim = simulation(f=2, attack=FLIP)
    messages, wrong = asked(sim)
    honest = np.setdiff1d(np.arange(CLIENTS), sim.malicious)
    assert len(wrong) == len(messages) == CLIENTS - 2
    for right, row, client in zip(messages, wrong, honest, strict=True):
        x, y = batches(sim.population, rounds=1, steps=1, size=4)[0][client]
        assert torch.allclose(right, gradient(sim.population, sim.population.initial, x[0], y[0]), atol=1e-6)
        assert torch.allclose(row, gradient(sim.population, sim.population.initial, x[0], 2 - y[0]), atol=1e-6)


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize(
    "values", [{}, {"algorithm": "fedavg", "local_steps": 3}, {"adversarial_training": {"epsilon": 0.1}}]
)
def test_it_is_what_clients_with_wrong_labels_send(mode: str, values: dict[str, Any]) -> None:
    made, poisoned = (population(SMALL_MLP) for _ in range(2))
    poisoned.labels = flipped(poisoned.labels)
    values = {"client_mode": mode, **values}
    _, wrong = asked(simulation(model=SMALL_MLP, world=made, f=2, attack=FLIP, **values))
    truly = simulation(model=SMALL_MLP, world=poisoned, f=2, **values)
    _, expected = truly.honest_messages(0, *truly.sample())
    assert torch.allclose(wrong, expected, atol=1e-6)


def test_momentum_stays_out_and_as_it_was() -> None:
    plain, heavy = (simulation(f=2, attack=FLIP, client_momentum=momentum) for momentum in (0.0, 0.9))
    for number in range(2):
        answers = [asked(sim, number)[1] for sim in (plain, heavy)]
        assert torch.equal(*answers)
    silent = simulation(f=2, client_momentum=0.9)
    for number in range(2):
        silent.honest_messages(number, *silent.sample())
    honest = np.setdiff1d(np.arange(CLIENTS), heavy.malicious)
    assert heavy._momentum is not None
    assert silent._momentum is not None
    assert torch.equal(heavy._momentum[honest], silent._momentum[honest])


def own_gradients(sim: Simulation, models: Tensor, count: int) -> Tensor:
    """The gradients [count, d] of the last clients of the round at models of their own, with reversed labels."""
    _, features, labels, _ = sim._lesson
    chosen = zip(models[-count:], features[-count:], labels[-count:], strict=True)
    return torch.stack([gradient(sim.population, model, x[0], flipped(y[0])) for model, x, y in chosen])


def test_stale_clients_answer_for_the_models_that_they_had() -> None:
    sim = simulation(f=1, attack=FLIP, faults=[Stale(rounds=2)])
    for number in range(3):
        sim.play_round(number)
    messages, wrong = asked(sim, 3)
    models = sim._lesson[0]
    assert models.shape == (len(messages), sim.population.d)
    assert not torch.equal(models[-1], sim.weights)
    assert torch.allclose(wrong, own_gradients(sim, models, len(wrong)), atol=1e-5)


def test_late_messages_are_weighted_like_the_honest_ones() -> None:
    server = {"mode": "asynchronous", "buffer": 4, "learning_rate": 0.3, "staleness": "polynomial"}
    settings = rules(server=server)
    sim = AsynchronousSimulation(population(), settings, Mean(), attack=FLIP, f=1)
    seen = []
    for number in range(5):
        sim.members.number = number
        _, wrong = asked(sim, number)
        buffer = sim._buffer[~sim._is_malicious[sim._buffer]]
        models, features, labels, starts = sim._lesson
        raw = sim._train(models[-len(buffer) :], features[-len(buffer) :], flipped(labels[-len(buffer) :]), starts)
        weights = staleness_weights(number - sim._begun[buffer], settings.server)
        assert torch.allclose(wrong, raw * raw.new_tensor(weights)[:, None], atol=1e-6)
        seen += weights.tolist()
        sim.members.number = number
        sim.play_round(number)
    assert min(seen) < 1.0


def test_clients_with_models_of_their_own_answer_for_those() -> None:
    sim = RewardedSimulation(population(), rules(), RFFL(), attack=FLIP, f=1)
    for number in range(3):
        sim.play_round(number)
    models = sim.models[np.flatnonzero(~sim._is_malicious)]
    assert not torch.equal(models[0], models[1])
    _, wrong = asked(sim, 3)
    assert torch.allclose(wrong, own_gradients(sim, models, len(wrong)), atol=1e-5)


def test_malicious_clients_send_the_mean_and_do_harm() -> None:
    sim = simulation(TrimmedMean(f=2), f=2, attack=FLIP)
    malicious, honest = sim.sample()
    own, messages = sim.honest_messages(0, malicious, honest)
    assert own is None  # nobody asks for it
    rows = sim.attacked(0, malicious, honest, own, messages)
    wrong = sim.relabelled(lambda labels, classes: classes - 1 - labels, honest)
    assert torch.allclose(rows[:2], wrong.mean(dim=0).expand(2, -1), atol=1e-6)
    assert torch.equal(rows[2:], messages)
    values: dict[str, Any] = {"rounds": 20, "batch_size": 16, "f": 2, "evaluate_every": 20}
    quiet, harmed = (simulation(attack=attack, **values).run().loss[-1][1] for attack in (None, FLIP))
    assert harmed > 1.2 * quiet


@dataclass(frozen=True, kw_only=True)
class Relabels(UpdateAttack):
    """Asks for labels that are none, or without having declared it."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    bad: object = None
    blind: bool = False

    def required_knowledge(self) -> Knowledge:
        return Knowledge.NOTHING if self.blind else Knowledge.PEERS

    def craft(self, view: View) -> Tensor:
        assert callable(self.bad)
        return view.relabelled(self.bad)[: view.f].clone()


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (lambda labels, classes: labels + 1, r"labels from 0 to 2\. Found int64"),
        (lambda labels, classes: labels[1:], "should return 16 labels"),
        (lambda labels, classes: labels.float(), "Found float32"),
        (lambda labels, classes: labels.zero_() - 1, "-1 to -1"),
    ],
)
def test_labels_that_are_none_are_refused(bad: Any, found: str) -> None:
    with pytest.raises(AttackError, match=found):
        simulation(f=2, attack=Relabels(bad=bad)).play_round(0)


def test_the_data_of_others_take_knowledge_and_somebody_who_trains() -> None:
    with pytest.raises(KnowledgeError, match="honest clients' data"):
        simulation(f=2, attack=Relabels(bad=flipped, blind=True)).play_round(0)
    with pytest.raises(AttackError, match="nobody trains"):
        FLIP(np.ones((3, 2)), f=1)
    with pytest.raises(AttackError, match=r"a row for each honest client, \[3, 2\]. Found \[2, 2\]"):
        FLIP(np.ones((3, 2)), f=1, relabelled=np.ones((2, 2)))
    without = Facts(
        round=0, f=1, declared_f=1, honest=torch.ones(3, 2), honest_ids=(1, 2, 3), own=lambda: torch.ones(1, 2)
    )
    with pytest.raises(AttackError, match="needs the honest clients' data"):
        Adversary(FLIP).craft(without)


def test_updates_that_are_not_finite_are_left_out() -> None:
    rows = np.array([[1.0, 2.0], [np.nan, 0.0], [3.0, 4.0], [np.inf, 0.0]])
    assert FLIP(np.ones((4, 2)), f=2, relabelled=rows).tolist() == [[2.0, 3.0]] * 2
    assert FLIP(torch.ones(4, 2), f=1, relabelled=torch.as_tensor(rows)).tolist() == [[2.0, 3.0]]
    assert FLIP(np.ones((1, 2)), f=1, relabelled=rows[1:2]).tolist() == [[0.0, 0.0]]
