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
from robustfl.federation import Round, Simulation
from robustfl.federation.channels.dense import Dense
from robustfl.federation.transforms import staleness_weights
from robustfl.threats import Adversary, Facts, Knowledge, UpdateAttack, View
from tests.federation.worlds import (
    CLIENTS,
    SMALL_MLP,
    batches,
    computed,
    gradient,
    own_models,
    population,
    simulation,
    weights,
)

FLIP = OmniscientLabelFlip()


def dense(sim: Simulation) -> Dense:
    assert isinstance(sim.channel, Dense)
    return sim.channel


def asked(sim: Simulation, number: int = 0) -> tuple[Round, Tensor]:
    """A round that everybody has computed, and what its honest clients would send [h, d] with reversed labels."""
    round = computed(sim, number)
    return round, dense(sim).relabelled(round, round.receivers[0], lambda labels, classes: classes - 1 - labels)


def flipped(labels: Any) -> Any:
    return 2 - labels


def test_the_answer_is_the_gradient_on_the_wrong_labels() -> None:
    sim = simulation(f=2, attack=FLIP)
    round, wrong = asked(sim)
    messages, made = round.sent, sim.setup.population
    honest = np.setdiff1d(np.arange(CLIENTS), sim.setup.malicious)
    assert len(wrong) == len(messages) == CLIENTS - 2
    for right, row, client in zip(messages, wrong, honest, strict=True):
        x, y = batches(made, rounds=1, steps=1, size=4)[0][client]
        assert torch.allclose(right, gradient(made, made.initial, x[0], y[0]), atol=1e-6)
        assert torch.allclose(row, gradient(made, made.initial, x[0], 2 - y[0]), atol=1e-6)


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
    expected = computed(truly).sent
    assert torch.allclose(wrong, expected, atol=1e-6)


def test_momentum_stays_out_and_as_it_was() -> None:
    plain, heavy = (simulation(f=2, attack=FLIP, client_momentum=momentum) for momentum in (0.0, 0.9))
    for number in range(2):
        answers = [asked(sim, number)[1] for sim in (plain, heavy)]
        assert torch.equal(*answers)
    silent = simulation(f=2, client_momentum=0.9)
    for number in range(2):
        computed(silent, number)
    honest = np.setdiff1d(np.arange(CLIENTS), heavy.setup.malicious)
    momenta = [dense(sim)._momentum for sim in (heavy, silent)]
    assert momenta[0] is not None
    assert momenta[1] is not None
    assert torch.equal(momenta[0].of(honest), momenta[1].of(honest))


def own_gradients(sim: Simulation, round: Round, models: Tensor) -> Tensor:
    """The gradients [count, d] of the last clients of the round at models of their own, with reversed labels."""
    assert round.lesson is not None
    count = len(round.honest)
    chosen = zip(models[-count:], round.lesson.features[-count:], round.lesson.labels[-count:], strict=True)
    return torch.stack([gradient(sim.setup.population, model, x[0], flipped(y[0])) for model, x, y in chosen])


def test_stale_clients_answer_for_the_models_that_they_had() -> None:
    sim = simulation(f=1, attack=FLIP, faults=[Stale(rounds=2)])
    for number in range(3):
        sim.play(number)
    round, wrong = asked(sim, 3)
    assert round.models is not None
    assert round.models.shape == (len(round.sent), sim.setup.population.d)
    assert not torch.equal(round.models[-1], weights(sim))
    assert torch.allclose(wrong, own_gradients(sim, round, round.models), atol=1e-5)


def test_late_messages_are_weighted_like_the_honest_ones() -> None:
    server = {"mode": "asynchronous", "buffer": 4, "learning_rate": 0.3, "staleness": "polynomial"}
    sim = simulation(Mean(), attack=FLIP, f=1, server=server)
    seen = []
    for number in range(5):
        round, wrong = asked(sim, number)
        assert round.lesson is not None
        assert round.models is not None
        count, lesson = len(round.honest), round.lesson
        features, labels = lesson.features[-count:], flipped(lesson.labels[-count:])
        raw = sim.channel.work.trainer(round.models[-count:], features, labels, lesson.starts)
        factors = staleness_weights(round.ages(round.honest), sim.setup.settings.server, "polynomial")
        assert torch.allclose(wrong, raw * raw.new_tensor(factors)[:, None], atol=1e-6)
        seen += factors.tolist()
        sim.play(number)
    assert min(seen) < 1.0


def test_clients_with_models_of_their_own_answer_for_those() -> None:
    sim = simulation(RFFL(), attack=FLIP, f=1)
    for number in range(3):
        sim.play(number)
    models = own_models(sim)[sim.setup.honest]
    assert not torch.equal(models[0], models[1])
    round, wrong = asked(sim, 3)
    assert torch.allclose(wrong, own_gradients(sim, round, models), atol=1e-5)


def test_malicious_clients_send_the_mean_and_do_harm() -> None:
    sim = simulation(TrimmedMean(f=2), f=2, attack=FLIP)
    round, wrong = asked(sim)
    assert round.own is None  # nobody asks for it
    sim.channel.craft(round)
    rows = round.receivers[0].arrived
    assert torch.allclose(rows[:2], wrong.mean(dim=0).expand(2, -1), atol=1e-6)
    assert torch.equal(rows[2:], round.sent)
    values: dict[str, Any] = {"rounds": 20, "batch_size": 16, "f": 2, "evaluate_every": 20}
    quiet, harmed = (simulation(attack=attack, **values).run().loss[-1][1] for attack in (None, FLIP))
    assert harmed > 1.2 * quiet


@dataclass(frozen=True, kw_only=True)
class Relabels(UpdateAttack):
    """Asks for labels that are none, or without having declared it."""

    knowledge: ClassVar[Knowledge] = Knowledge.DATA

    bad: object = None
    blind: bool = False

    def required_knowledge(self) -> Knowledge:
        return Knowledge.NOTHING if self.blind else Knowledge.DATA

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
        simulation(f=2, attack=Relabels(bad=bad)).play(0)


def test_the_data_of_others_take_knowledge_and_somebody_who_trains() -> None:
    with pytest.raises(KnowledgeError, match="honest clients' data"):
        simulation(f=2, attack=Relabels(bad=flipped, blind=True)).play(0)
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
