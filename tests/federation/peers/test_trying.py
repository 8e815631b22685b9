"""What peers find out by trying models on samples of their own, and what a rule makes of that in a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import Clones, Echo, ForeignClasses, LabelFlip
from robustfl.defenses import UBAR, Bristle
from robustfl.errors import AttackError, ParameterError
from robustfl.federation import Population, Task
from robustfl.federation.classified import classified
from robustfl.federation.clients.training import predict
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import ClassWindows, Overlapping
from robustfl.federation.graphs import Complete
from robustfl.federation.models.architectures import MLP, Model, Softmax
from robustfl.federation.observers.peers.accuracy import divided
from tests.federation.peers.networks import network, peers, played

PEERS, KNOWN = 6, 4


def windows(model: Model | None = None) -> Population:
    """Digits of which each of six peers knows four, five samples of each."""
    task = Task(data=Digits(), model=model or Softmax(), partition=ClassWindows(classes=KNOWN, per_class=5))
    return task.prepare(clients=PEERS, seed=0)


def trying(rule: Any = None, few: int | None = 2, **values: Any) -> Any:
    """A network of peers who train with two of five samples of each class."""
    rules = {"score_by": "mean", **({} if few is None else {"train_per_class": few})}
    return network(rule or Bristle(), world=windows(), clients=PEERS, topology=Complete(), peers=rules, **values)


def test_peers_train_with_few_samples_of_each_class_and_keep_the_others() -> None:
    setup, whole = trying().setup, windows()
    labels = setup.population.labels.numpy()
    for peer, (own, tried) in enumerate(zip(setup.population.parts, setup.tried, strict=True)):
        assert np.bincount(labels[own])[np.unique(labels[own])].tolist() == [2] * KNOWN
        assert np.bincount(labels[tried])[np.unique(labels[tried])].tolist() == [3] * KNOWN
        assert np.union1d(own, tried).tolist() == sorted(whole.parts[peer].tolist())
    assert trying().setup.tried[0].tolist() == setup.tried[0].tolist()
    assert setup.knows.sum(axis=1).tolist() == [KNOWN] * PEERS


def test_without_others_peers_try_models_out_on_the_samples_with_which_they_train() -> None:
    for few in (None, 5):
        setup = trying(few=few).setup
        assert [part.tolist() for part in setup.tried] == [sorted(part.tolist()) for part in setup.population.parts]


def test_samples_that_clients_share_are_not_divided() -> None:
    task = Task(data=Digits(), model=Softmax(), partition=Overlapping(samples=9))
    with pytest.raises(ParameterError, match=r"others hold the same samples\. Leave it out, or take a partition"):
        network(world=task.prepare(clients=PEERS, seed=0), clients=PEERS, peers={"train_per_class": 2})


def test_confusions_count_what_each_model_takes_samples_for() -> None:
    sim = trying()
    around, population = peers(sim), sim.setup.population
    models = population.initial + 0.5 * torch.randn(3, population.d, generator=torch.Generator().manual_seed(1))
    for name in range(PEERS):
        tried = torch.as_tensor(sim.setup.tried[around._peers[name]])
        expected = np.zeros((3, 10, 10))
        for line, model in enumerate(models):
            guesses = predict(population, model, population.features[tried]).argmax(dim=1).tolist()
            for label, guess in zip(population.labels[tried].tolist(), guesses, strict=True):
                expected[line, label, guess] += 1
        np.testing.assert_array_equal(around._tried.confusions(name, models.numpy()), expected)


@pytest.mark.parametrize("few", [2, None])
def test_losses_are_those_on_samples_that_were_set_aside_or_on_the_batches_of_the_round(few: int | None) -> None:
    """Batches on which a peer has just trained say nothing good of anybody else's model."""
    asked: list[tuple[int, np.ndarray]] = []
    sim = trying(UBAR(), few=few, rounds=1)
    around, population = peers(sim), sim.setup.population
    inner = around._losses

    def noted(round: Any, name: int, models: Any) -> Any:
        found = inner(round, name, models)
        peer = int(around._peers[name])
        row = int(np.flatnonzero(round.lesson.ids == peer)[0])
        if few is None:
            features, labels = round.lesson.features[row].flatten(0, 1), round.lesson.labels[row].flatten()
        else:
            tried = torch.as_tensor(sim.setup.tried[peer])
            features, labels = population.features[tried], population.labels[tried]
            assert not set(tried.tolist()) & set(population.parts[peer].tolist())
        for model, loss in zip(models, found, strict=True):
            logits = predict(population, torch.as_tensor(model), features)
            assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
        asked.append((peer, found))
        return found

    around._losses = noted
    sim.run()
    assert {peer for peer, _ in asked} == set(range(PEERS))


def test_peers_share_the_classes_that_both_know_and_malicious_ones_say_that_they_know_all() -> None:
    sim = trying(attack=LabelFlip(), f=2)
    around, knows = peers(sim), sim.setup.knows
    everybody = np.arange(PEERS)
    for name in range(PEERS):
        peer = int(around._peers[name])
        counts = around._tried.shared(name, around._names[everybody])
        for other, count in enumerate(counts.tolist()):
            known = KNOWN if sim.setup.members.malicious[other] else int((knows[peer] & knows[other]).sum())
            assert count == known
    assert {int(count) for name in range(PEERS) for count in around._tried.shared(name, everybody)} > {KNOWN}


def test_what_is_left_to_chance_is_the_same_whenever_the_rule_is_asked() -> None:
    around = peers(trying())
    one, again, later, other = (
        around._draws(number, step, name).random()
        for number, step, name in ((1, 0, 2), (1, 0, 2), (1, 1, 2), (1, 0, 3))
    )
    assert one == again
    assert len({one, later, other}) == 3
    models = [played(trying(Bristle(prioritised=3), rounds=2)).models[-1] for _ in range(2)]
    torch.testing.assert_close(models[0], models[1], rtol=0, atol=0)


@pytest.mark.parametrize("rule", [Bristle(), Bristle(prioritised=3)], ids=["all", "some"])
def test_questions_about_the_conduct_of_the_rule_find_nothing(rule: Bristle) -> None:
    trace = trying(rule, attack=Echo(), f=1, rounds=4).run()
    assert trace.more.get("conduct", []) == []


def test_a_model_that_is_more_than_one_layer_is_refused_before_anything_is_played() -> None:
    with pytest.raises(ParameterError, match=r"Freeze the other layers: take `model: softmax`, with data such as"):
        network(Bristle(), world=windows(MLP(hidden=(10,))), clients=PEERS, topology=Complete())


# ---------------------------------------------------------------------------------------------------- foreign classes


def test_recalls_are_told_apart_by_what_peers_know() -> None:
    recalls = np.array([[1.0, 0.5, np.nan], [0.25, 0.75, np.nan]])
    found = divided(recalls, np.array([[True, False, True], [True, True, False]]))
    np.testing.assert_allclose(found, [[1.0, 0.5], [0.5, np.nan]])


def test_familiar_and_foreign_classes_are_measured() -> None:
    sim = trying(rounds=1, local_learning_rate=1.0)
    more, knows = sim.run().more, sim.setup.knows
    recalls = [classified(sim.setup.population, model).recalls for model in sim.topology.served()]
    parts = {"familiar_accuracy": knows, "foreign_accuracy": ~knows}
    for name, part in parts.items():
        expected = np.mean([own[known].mean() for own, known in zip(recalls, part, strict=True)])
        assert more[name] == pytest.approx(expected)
    everything = network(rounds=1, topology=Complete(), clients=1).run().more
    assert everything["familiar_accuracy"] is not None
    assert everything["foreign_accuracy"] is None


def test_letters_are_right_in_the_classes_of_their_receiver_and_shifted_in_the_others() -> None:
    own, near, knows = np.zeros(8), np.arange(8.0), [True, False, True, False]
    letter = ForeignClasses(factor=2.0)(own, near[None], knows=knows, layers=(4, 4))
    assert letter.tolist() == [0.0, 3.0, 2.0, 1.0, 4.0, 7.0, 6.0, 5.0]
    with pytest.raises(AttackError, match="each of 4 classes has an equal part"):
        ForeignClasses()(own, near[None], knows=knows, layers=(6, 2))


def test_samples_of_known_classes_are_taken_for_the_same_and_no_others() -> None:
    made = windows()
    own, near = (made.initial + torch.randn(made.d, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    knows = np.arange(10) < KNOWN
    layers = [part.stop - part.start for part in made.layers]
    letter = ForeignClasses(factor=3.0)(own, near[None], knows=knows, layers=layers)
    mean, shifted = (predict(made, model, made.test_features).argmax(dim=1) for model in ((own + near) / 2, letter))
    before = torch.tensor([0, 1, 2, 3, 9, 4, 5, 6, 7, 8])  # what is taken for class 5 was taken for class ...
    assert (mean < KNOWN).any()
    assert (mean >= KNOWN).any()
    torch.testing.assert_close(shifted, before[mean], rtol=0, atol=0)


def test_who_knows_which_classes_is_known_of_peers_beside_outsiders() -> None:
    sybils = Clones(count=2, outside=True) >> ForeignClasses()
    trace = trying(attack=sybils, f=1, rounds=2).run()
    assert trace.more["foreign_accuracy"] is not None
