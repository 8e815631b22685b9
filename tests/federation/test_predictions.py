"""Rounds in which clients send predictions: who learns what from whom, and what an adversary can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.predictions import nearest_distributions
from robustfl.attacks import (
    ALIE,
    AWGN,
    Clones,
    Dropout,
    HiddenShift,
    LabelFlip,
    NonFinite,
    OmniscientLabelFlip,
    PredictionSearch,
    SignFlip,
    WhiteBox,
    WrongClass,
)
from robustfl.defenses import FRL, NNM, RFFL, DPFedAvg, FLTrust, FoolsGold, KnFu, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation, assemble
from robustfl.federation.channels.predictions import Predictions, Student
from robustfl.federation.clients.training import predict
from robustfl.federation.observers.conduct import ORDER
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, own_models, population, rules, simulation, topology

PUBLIC = 9
"""A tenth of the 90 training samples."""


def distilled(defense: Any = None, **values: Any) -> Simulation:
    distillation = {"steps": 3, "batch_size": 4, **values.pop("distillation", {})}
    given = {"algorithm": "fedavg", "local_steps": 2, "rounds": 4, **values}
    return simulation(defense, distillation=distillation, **given)


def channel(sim: Simulation) -> Predictions:
    assert isinstance(sim.channel, Predictions)
    return sim.channel


def public(sim: Simulation) -> Tensor:
    assert sim.setup.public is not None
    return sim.setup.clean.features[torch.as_tensor(sim.setup.public)]


def test_public_samples_are_nobodys_own_and_the_same_behind_every_defense() -> None:
    sims = [distilled(rule) for rule in (Mean(), Median())]
    first, second = (sim.setup.public for sim in sims)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)
    assert len(first) == len(set(first.tolist())) == PUBLIC
    held = np.concatenate(sims[0].setup.population.parts)
    assert sorted([*held.tolist(), *first.tolist()]) == list(range(90))
    assert np.any(np.diff(first) < 0), "in random order, so that batches are a mixture"
    other = distilled(seed=1).setup.public
    assert other is not None
    assert set(other.tolist()) != set(first.tolist())


def test_clients_need_samples_of_their_own() -> None:
    with pytest.raises(ParameterError, match=r"beside the public ones\. Found none, with 90 of 90"):
        distilled(distillation={"public_share": 0.999})


def by_hand(sim: Simulation, model: Tensor, answer: Tensor | None, number: int, lesson: Any = None) -> Tensor:
    """One client's round of learning an answer, with plain autograd and torch's own divergence."""
    settings = sim.setup.settings
    assert settings.distillation is not None
    made, samples, how = sim.setup.population, public(sim), settings.distillation
    for step in range(how.steps):
        leaf = model.clone().requires_grad_()
        places = [(number * how.steps * 4 + step * 4 + k) % PUBLIC for k in range(4)]
        assert answer is not None
        believed = (predict(made, leaf, samples[places]) / how.temperature).log_softmax(dim=1)
        loss = how.temperature**2 * kl_div(believed, answer.reshape(PUBLIC, -1)[places], reduction="batchmean")
        if lesson is not None:
            features, labels = lesson
            turn = step % len(labels)
            loss = loss + how.own_weight * cross_entropy(predict(made, leaf, features[turn]), labels[turn])
        model = model - settings.local_learning_rate * torch.autograd.grad(loss, leaf)[0]
    return model


@pytest.mark.parametrize(
    "values", [{}, {"temperature": 3.0}, {"own_weight": 0.0}, {"steps": 5, "own_weight": 0.5}], ids=str
)
def test_a_round_is_training_predicting_aggregating_and_learning(values: dict[str, Any]) -> None:
    kept = Kept()
    sim = distilled(Median(), model=SMALL_MLP, distillation=values, observers=[kept])
    sim.play(0)
    before = own_models(sim).clone()
    student = topology(sim).ownership.server.weights.clone()
    round = sim.play(1)
    lesson, (server,) = round.lesson, kept.server[1:]
    assert lesson is not None
    made, how = sim.setup.population, sim.setup.settings.distillation
    assert how is not None
    rate, rows = sim.setup.settings.local_learning_rate, []
    trained = before.clone()
    for client in range(CLIENTS):
        for features, labels in zip(lesson.features[client], lesson.labels[client], strict=True):
            leaf = trained[client].clone().requires_grad_()
            (slope,) = torch.autograd.grad(cross_entropy(predict(made, leaf, features), labels), leaf)
            trained[client] -= rate * slope
        rows.append((predict(made, trained[client], public(sim)) / how.temperature).softmax(dim=1).flatten())
    torch.testing.assert_close(server.arrived, torch.stack(rows), atol=1e-5, rtol=1e-4)
    middle = torch.as_tensor(np.median(server.arrived.numpy(), axis=0)).reshape(PUBLIC, -1)
    answer = nearest_distributions(middle).flatten()
    torch.testing.assert_close(server.aggregate, answer, atol=1e-6, rtol=1e-5)
    own = own_models(sim)
    for client in range(CLIENTS):
        batches = (lesson.features[client], lesson.labels[client]) if how.own_weight else None
        expected = by_hand(sim, trained[client], server.aggregate, 1, batches)
        torch.testing.assert_close(own[client], expected, atol=1e-5, rtol=1e-4)
    learnt = topology(sim).ownership.server.weights
    torch.testing.assert_close(learnt, by_hand(sim, student, server.aggregate, 1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sim.topology.served(), own)


def test_one_client_after_the_other_is_the_same_as_all_together() -> None:
    found = [distilled(client_mode=mode, model=SMALL_MLP) for mode in ("vmap", "loop")]
    for sim in found:
        sim.run()
    torch.testing.assert_close(*map(own_models, found), atol=1e-5, rtol=1e-4)


def test_clients_gain_from_each_other_and_are_measured_by_their_own_models() -> None:
    sim = distilled(Mean(), rounds=20, participation=0.5, evaluate_every=20)
    trace = sim.run()
    assert trace.accuracy[-1][1] > 0.9
    own = [float((predict(sim.setup.population, m, sim.setup.population.test_features).argmax(1)
                  == sim.setup.population.test_labels).float().mean()) for m in own_models(sim)]  # fmt: skip
    assert trace.accuracy[-1][1] == pytest.approx(np.mean(own), abs=1e-6)
    assert trace.more["client_accuracy"] == pytest.approx(own, abs=1e-6)
    assert (trace.bytes_up, trace.bytes_down) == (4.0 * PUBLIC * 3, 4.0 * PUBLIC * 3)
    assert len(trace.more["standalone_accuracy"]) == CLIENTS


def test_absent_clients_learn_nothing_and_a_round_without_answer_leaves_training() -> None:
    sim = distilled(participation=0.5)
    before = own_models(sim).clone()
    round = sim.play(0)
    away = np.setdiff1d(np.arange(CLIENTS), np.concatenate([round.honest, round.malicious]))
    assert len(away) == CLIENTS // 2
    assert torch.equal(own_models(sim)[away], before[away])
    assert not torch.equal(own_models(sim)[round.honest], before[round.honest])
    silent = distilled(TrimmedMean(f=2), attack=NonFinite(), f=2)  # which leaves too few rows
    round = silent.play(0)
    assert round.receivers[0].aggregate is None
    assert torch.equal(own_models(silent)[round.honest], round.trained)


def test_fusion_answers_each_client_in_its_own_way() -> None:
    sim = distilled(KnFu(beta=5.0), model=SMALL_MLP)
    round = sim.play(0)
    server = round.receivers[0]
    assert server.answer is not None
    answers = channel(sim).answers(server, round.honest)
    assert answers is not None
    rows = {member: server.arrived[place] for place, member in enumerate(server.ids.tolist())}
    for place, member in enumerate(round.honest.tolist()):
        heard = server.answer.info["fusion"][member]
        assert set(heard) == set(range(CLIENTS))
        expected = sum(weight * rows[other] for other, weight in heard.items())
        torch.testing.assert_close(answers[place], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(answers.mean(dim=0), server.aggregate, atol=1e-5, rtol=1e-4)
    common = channel(sim).answers(server, np.array([77]))
    assert common is not None
    assert torch.equal(common[0], server.aggregate), "whom the defense does not name gets the common answer"


@pytest.mark.parametrize(
    "attack",
    [
        WrongClass(),
        HiddenShift(),
        PredictionSearch(steps=2, candidates=3),
        WhiteBox(candidates=4),
        SignFlip(scale=50.0),
    ],
    ids=str,
)
def test_what_is_sent_is_accepted_and_what_the_search_was_told_is_what_happens(attack: Any) -> None:
    told: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Spied(type(attack)):  # type: ignore[misc]
        knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS | Knowledge.HISTORY | Knowledge.DEFENSE

        def required_knowledge(self) -> Knowledge:
            return self.knowledge

        @property
        def needs_model(self) -> bool:
            return False

        def craft(self, view: View) -> Tensor:
            crafted: Tensor = super().craft(view)
            told.append(view.aggregate(torch.cat([crafted, view.honest])) + 1 / view.classes)
            return crafted

    kept = Kept()
    spied = Spied(**attack.parameters())
    trace = distilled(NNM(f=2) >> TrimmedMean(f=2), attack=spied, f=2, rounds=2, observers=[kept]).run()
    assert trace.rejected_rows == 0
    for server, expected in zip(kept.server, told, strict=True):
        torch.testing.assert_close(server.aggregate, expected, atol=1e-5, rtol=1e-4)


def test_an_adversary_sees_predictions_less_ignorance_and_no_model() -> None:
    seen: list[tuple[Tensor, Tensor | None]] = []

    @dataclass(frozen=True, kw_only=True)
    class Watching(UpdateAttack):
        knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

        @property
        def needs_model(self) -> bool:
            return False

        def craft(self, view: View) -> Tensor:
            seen.append((view.honest.clone(), view.previous_aggregate))
            with pytest.raises(Exception, match="needs the global model, which was not given"):
                view.weights.sum()
            return view.full(0.0).repeat(view.f, 1)

    kept = Kept()
    distilled(Mean(), attack=Watching(), f=1, rounds=2, observers=[kept]).run()
    first, second = kept.server
    torch.testing.assert_close(seen[0][0] + 1 / 3, first.arrived[first.ids != first.malicious[0]])
    assert seen[0][1] is None
    assert first.aggregate is not None
    torch.testing.assert_close(seen[1][1], first.aggregate - 1 / 3)
    torch.testing.assert_close(second.arrived[second.ids == second.malicious[0]], torch.full((1, 27), 1 / 3))


@dataclass(frozen=True, kw_only=True)
class Foremost(Aggregator):
    """Answers with the row that happens to come first."""

    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(rows.combine(np.eye(rows.n)[0]))


def test_a_defense_that_goes_by_places_is_seen_although_moved_predictions_have_to_be_predictions() -> None:
    assert ORDER in distilled(Foremost(), rounds=2).run().more["conduct"]
    assert "conduct" not in distilled(Median(), rounds=2).run().more


def test_what_is_no_prediction_is_refused_and_the_rest_is_aggregated() -> None:
    kept = Kept()
    trace = distilled(Median(), attack=NonFinite(), f=2, observers=[kept]).run()
    assert trace.rejected_rows == 2 * 4
    answer = kept.server[0].answer
    assert answer is not None
    assert set(answer.info["reasons"].values()) == {"not finite"}


def test_relabelled_predictions_are_those_of_clients_with_other_labels() -> None:
    """The adversary's imagination of honest clients with flipped labels is what a world of such clients would send."""
    kept = Kept()
    sim = distilled(Mean(), attack=OmniscientLabelFlip(), f=1, model=SMALL_MLP, observers=[kept])
    sim.play(0)
    server = kept.server[0]
    sent = server.arrived[server.ids == server.malicious[0]]
    flipped = distilled(Mean(), attack=LabelFlip(), f=1, model=SMALL_MLP)
    round = flipped.play(0)
    lesson, models = round.lesson, round.models
    assert lesson is not None
    assert models is not None
    own = slice(len(lesson.ids) - len(round.honest), None)
    training, made = channel(flipped), flipped.setup.population
    imagined = torch.stack(
        [
            training.messages(models[own][k : k + 1], _one(lesson, own, k, made.classes), 0)[0]
            for k in range(len(round.honest))
        ]
    )
    torch.testing.assert_close(sent[0], imagined.mean(dim=0), atol=1e-5, rtol=1e-4)


def _one(lesson: Any, own: slice, k: int, classes: int) -> Any:
    """The lesson of one honest client, with its labels in reverse."""
    from robustfl.federation.round import Lesson

    one = np.zeros(1, dtype=np.int64)
    return Lesson(
        ids=one,
        place=one,
        index=lesson.index[own][k : k + 1],
        features=lesson.features[own][k : k + 1],
        labels=classes - 1 - lesson.labels[own][k : k + 1],
        starts=None,
    )


def test_malicious_clients_that_pause_keep_their_models_in_training() -> None:
    sim = distilled(attack=ALIE(every=2), f=2)
    start = own_models(sim).clone()
    sim.play(0)
    assert not torch.equal(own_models(sim)[sim.setup.malicious], start[sim.setup.malicious])


def test_the_student_hears_answers_alone() -> None:
    """Nobody's samples reach it: with answers of ignorance it stays a model that knows nothing."""
    sim = distilled()
    student = topology(sim).ownership.server
    assert isinstance(student, Student)
    assert student.answer is None
    for _ in range(200):
        student.step(torch.full((PUBLIC * 3,), 1 / 3))
    believed = channel(sim).distiller.predicted(student.weights[None])
    torch.testing.assert_close(believed, torch.full_like(believed, 1 / 3), atol=0.05, rtol=0.0)


def test_rules_with_memory_trust_or_faults_of_the_network_have_rounds() -> None:
    assert distilled(FoolsGold(), attack=LabelFlip(), f=1).run().accuracy
    assert distilled(FLTrust(), attack=WrongClass(), f=2).run().accuracy
    assert distilled(Median(), faults=[Dropout()], rounds=6).run().accuracy
    slow = {"mode": "asynchronous", "buffer": 3, "staleness": "constant"}
    assert distilled(Median(), server=slow, rounds=6).run().accuracy


@pytest.mark.parametrize(
    ("defense", "values", "reason"),
    [
        (FRL(), {}, "speaks the channel 'rankings'"),
        (RFFL(), {}, "speaks the channel 'rewards'"),
        (DPFedAvg(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), {}, "DPFedAvg.* send something else"),
        (Mean(), {"attack": Clones() >> LabelFlip(), "f": 1}, "several identities"),
        (Mean(), {"faults": [AWGN()]}, "cannot happen to messages of Mean, those of the channel 'predictions'"),
        (Mean(), {"server": {"mode": "asynchronous", "buffer": 3}}, "cannot be multiplied by a staleness weight"),
    ],
    ids=["rankings", "rewards", "mechanism", "identities", "noise", "staleness"],
)
def test_what_does_not_fit_is_refused(defense: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        distilled(defense, **values)


def test_a_rule_for_predictions_needs_clients_that_distil() -> None:
    with pytest.raises(ParameterError, match="where the federation has settings of `distillation`, which this one has"):
        simulation(KnFu())
    with pytest.raises(ParameterError, match="need settings of `distillation`"):
        assemble(population(), rules(), Mean(), channel=Predictions)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"algorithm": "fedsgd", "local_steps": 1}, "Use fedavg"),
        ({"client_momentum": 0.9}, "predictions have no momentum"),
        ({"distillation": {"public_share": 1.0}}, "less than 1"),
        ({"distillation": {"temperature": 0.0}}, "greater than 0"),
        ({"distillation": {"steps": 0}}, "greater than or equal to 1"),
    ],
    ids=["fedsgd", "momentum", "share", "temperature", "steps"],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], reason: str) -> None:
    given = {"algorithm": "fedavg", "local_steps": 2, "distillation": {}, **values}
    with pytest.raises(ValueError, match=reason):
        rules(**given)
