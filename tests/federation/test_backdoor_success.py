"""What backdoors reach in a federation: what is measured, on whose model, and how long it lasts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import (
    ALIE,
    BadNets,
    Clones,
    LabelFlip,
    ModelReplacement,
)
from robustfl.defenses import RFFL, Mean
from robustfl.federation.observers.aims import Trigger, aim_of, durability, tail_mean
from robustfl.federation.task import Population
from tests.federation.worlds import CLIENTS, SMALL_MLP, logits, population, simulation, topology, weights

MARK = BadNets(target=2, size=2, ratio=0.5, value=4.0)


# -- what is measured


def test_success_is_the_share_of_marked_samples_of_other_classes_that_are_taken_for_the_target() -> None:
    made = population()
    aim = aim_of(made, Clones() >> MARK >> ALIE())
    assert isinstance(aim, Trigger)

    def predict(features: Tensor) -> Tensor:
        """Takes marked samples for class 2 where their first pixel is positive, all others for class 0."""
        hit = (features[:, 0, 3, 3] == 4.0) & (features[:, 0, 0, 0] > 0)
        return torch.nn.functional.one_hot(hit.long() * 2, 3).float()

    others = made.test_labels != 2
    hit = made.test_features[others][:, 0, 0, 0] > 0
    found = aim.rates(predict)
    assert found["attack_success"] == pytest.approx(float(hit.double().mean()))
    right = (made.test_labels[others] == 0) & ~hit
    assert found["triggered_accuracy"] == pytest.approx(float(right.double().mean()))
    assert aim_of(made, LabelFlip()) is None
    assert aim_of(made, ALIE()) is None


def test_a_backdoor_is_learnt_and_reported() -> None:
    sim = simulation(attack=MARK >> ModelReplacement(), f=2, model=SMALL_MLP, rounds=40, evaluate_every=10)
    trace = sim.run()
    more = trace.more
    assert more["aim"] == str(MARK)
    assert more["attack_success"] == more["attack_success_curve"][-1] == more["aims"][str(MARK)] > 0.9
    assert len(more["attack_success_curve"]) == len(trace.accuracy)
    assert "durability" not in more  # the attackers never left
    json.dumps(more, allow_nan=False)


def test_all_aims_are_measured_where_nobody_attacks() -> None:
    flip = LabelFlip(mode="targeted", source=0, target=1)
    sim = simulation(Mean(), rounds=20, aims=[MARK, flip, LabelFlip()])
    more = sim.run().more
    assert set(more["aims"]) == {str(MARK), str(flip)}
    assert "attack_success" not in more
    labels, found = sim.setup.population.test_labels, logits(sim, sim.setup.population.test_features).argmax(dim=1)
    assert more["aims"][str(flip)] == float((found[labels == 0] == 1).double().mean())
    assert simulation(rounds=2).run().more.get("aims") is None


def test_measuring_changes_nothing() -> None:
    plain, watched = (simulation(Mean(), aims=aims) for aims in ((), (MARK,)))
    plain.run()
    watched.run()
    assert torch.equal(weights(plain), weights(watched))


def test_every_honest_clients_model_counts_where_each_has_its_own() -> None:
    made = population()
    sim = simulation(RFFL(), world=made, attack=MARK, f=2)
    more = sim.run().more
    aim = Trigger(made, MARK)
    rates = [aim.rates(lambda x, w=model: made_logits(made, w, x)) for model in topology(sim).served()]  # type: ignore[misc]
    assert len(rates) == CLIENTS - 2
    assert more["attack_success"] == pytest.approx(np.mean([rate["attack_success"] for rate in rates]))


def made_logits(made: Population, weights: Tensor, features: Tensor) -> Tensor:
    from robustfl.federation.clients.training import predict

    return predict(made, weights, features)


# -- how long it lasts


@pytest.mark.parametrize(
    ("curve", "left", "expected"),
    [
        ([0.9, 0.9, 0.8, 0.6, 0.4], 20, (30, False)),
        ([0.9, 0.9, 0.8, 0.6, 0.5], 20, (30, True)),
        ([0.9, 0.9, 0.3, 0.6, 0.5], 20, (10, False)),
        ([0.9, 0.4, 0.9, 0.9, 0.9], 20, (0, False)),
        ([0.9, 0.9, 0.9, 0.4, 0.4], 23, (17, False)),
        ([0.9, 0.9, 0.9, 0.9, 0.4], 50, (0, False)),
        ([0.1, 0.1, 0.1, 0.1, 0.9], 50, (0, True)),
    ],
)
def test_durability_counts_from_when_the_attacker_left(
    curve: list[float], left: int, expected: tuple[int, bool]
) -> None:
    assert durability([10, 20, 30, 40, 50], curve, left) == expected


def test_durability_begins_after_the_last_round_with_a_malicious_client() -> None:
    attack = BadNets(target=2, size=2, ratio=0.5, value=4.0, stop_round=7, every=3) >> ModelReplacement()
    sim = simulation(attack=attack, f=2, rounds=20, evaluate_every=1, model=SMALL_MLP)
    more = sim.run().more
    after = more["attack_success_curve"][6:]  # rounds 0, 3 and 6 attack
    lower = [place for place, value in enumerate(after) if value < 0.5]
    assert (more["durability"], more["durability_censored"]) == ((lower[0], False) if lower else (13, True))


def test_the_tail_is_a_tenth_of_the_measurements() -> None:
    assert tail_mean([0.0] * 18 + [0.4, 0.6]) == 0.5
    assert tail_mean([0.2, 0.7]) == 0.7
