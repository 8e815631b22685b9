"""Whom a model serves worst: accuracy by class and by client, against a loop over samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from robustfl.attacks import Clones, LabelFlip, SignFlip
from robustfl.defenses import RFFL, Mean
from robustfl.federation import Population
from robustfl.federation.classified import classified
from robustfl.federation.clients.training import predict
from robustfl.federation.data.partitions import Dirichlet
from robustfl.federation.observers.served import honest_mixes, worst_served
from tests.federation.worlds import SMALL_MLP, own_models, population, simulation, task, weights

UNEVEN = task(partition=Dirichlet(alpha=0.3)).prepare(clients=6, seed=0)


def by_hand(made: Population, weights: torch.Tensor) -> list[float]:
    found = predict(made, weights, made.test_features).argmax(dim=1)
    pairs = [(int(y), int(y) == int(guess)) for y, guess in zip(made.test_labels, found, strict=True)]
    return [float(np.mean([right for y, right in pairs if y == c])) for c in range(made.classes)]


@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_class_accuracy_is_that_of_a_loop_over_samples(chunk: int) -> None:
    sim = simulation(rounds=3)
    sim.run()
    made = sim.setup.population
    assert classified(made, weights(sim), chunk).recalls.tolist() == by_hand(made, weights(sim))


def test_a_run_says_whom_the_model_serves_worst() -> None:
    sim = simulation(Mean(), world=UNEVEN, rounds=4, attack=SignFlip(), f=2)
    more = sim.run().more
    classes = by_hand(UNEVEN, weights(sim))
    labels = UNEVEN.labels.tolist()
    clients = [
        float(np.mean([classes[labels[i]] for i in part]))
        for client, part in enumerate(UNEVEN.parts)
        if client not in sim.setup.malicious
    ]
    assert more["class_accuracy"] == classes
    assert more["worst_class"] == min(classes)
    assert more["worst_client"] == pytest.approx(min(clients))
    assert more["client_spread"] == pytest.approx(np.std(clients))
    json.dumps(more, allow_nan=False)


def test_sybils_from_outside_leave_every_client_honest() -> None:
    attacked = simulation(attack=Clones(count=3, outside=True) >> LabelFlip(), f=2)
    assert honest_mixes(attacked.setup.population, attacked.setup.malicious).shape == (6, 3)
    assert honest_mixes(attacked.setup.population, np.array([1, 4, 6, 7])).shape == (4, 3)


def test_a_client_that_lost_its_data_is_not_served() -> None:
    made = population()
    parts = [made.parts[0][:0], *made.parts[1:]]
    mixes = honest_mixes(made.with_data(made.features, made.labels, parts), np.array([5]))
    assert mixes.sum(axis=1) == pytest.approx([0, 1, 1, 1, 1])
    assert worst_served(np.array([[0.5, 0.5, 0.5]]), mixes)["worst_client"] == pytest.approx(0.5)


def test_with_own_models_each_client_is_served_by_its_own() -> None:
    sim = simulation(RFFL(), model=SMALL_MLP, rounds=4, attack=SignFlip(), f=1)
    more = sim.run().more
    accuracy = np.array([by_hand(sim.setup.population, own_models(sim)[client]) for client in sim.setup.honest])
    mixes = honest_mixes(sim.setup.population, sim.setup.malicious)
    assert more["class_accuracy"] == pytest.approx(accuracy.mean(axis=0))
    assert more["worst_client"] == pytest.approx(min((mixes * accuracy).sum(axis=1)))


def test_classes_without_test_samples_are_left_out_and_clients_of_no_other_too() -> None:
    accuracy = np.array([[0.9, np.nan, 0.5]])
    mixes = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 0.0]])
    found = worst_served(accuracy, mixes)
    assert found["class_accuracy"] == [0.9, None, 0.5]
    assert (found["worst_class"], found["worst_client"]) == (0.5, pytest.approx(0.7))
    assert found["client_spread"] == pytest.approx(0.1)
    assert set(worst_served(accuracy, mixes[[1, 3]])) == {"class_accuracy", "worst_class"}
    made = population()
    made.test_labels = made.test_labels.clamp(min=1)
    assert np.isnan(classified(made, made.initial).recalls).tolist() == [True, False, False]


def test_a_model_that_is_not_finite_serves_nobody_and_the_measurement_changes_nothing() -> None:
    sim = simulation(rounds=8, server={"learning_rate": 1e38})
    trace = sim.run()
    assert trace.diverged
    assert "worst_class" not in trace.more
    finite = simulation(rounds=3)
    finite.run()
    before = weights(finite).clone()
    classified(finite.setup.population, weights(finite))
    assert torch.equal(weights(finite), before)
