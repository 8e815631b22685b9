"""How a trained model is tried with attacked test samples: who is attacked, who counts, and that it repeats."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from robustfl.attacks import FGSM, PGD, ZerothOrder
from robustfl.federation import Population
from robustfl.federation.observers.evasion import robustness
from robustfl.federation.streams import stream
from robustfl.threats import Evasion, Victim
from tests.federation.worlds import SMALL_MLP, logits, population, simulation, weights


@dataclass(frozen=True, kw_only=True)
class Breaks(Evasion):
    """Marks the samples of one class (feature 0 goes up by epsilon), on which the model below then errs."""

    target: int
    seen: ClassVar[list[Tensor]] = []

    def perturb(self, victim: Victim) -> Tensor:
        self.seen.append(victim.features)
        changed = victim.features.clone()
        changed[victim.labels == self.target, 0, 0, 0] += self.epsilon
        return changed.minimum(victim.upper)


def knowing(made: Population, wrong: int = -1) -> Any:
    """A model that knows every test sample by heart, errs on class `wrong`, and on samples that it has never seen."""
    known = {tuple(x.flatten().tolist()): int(y) for x, y in zip(made.test_features, made.test_labels, strict=True)}

    def predict(features: Tensor) -> Tensor:
        labels = [known.get(tuple(x.flatten().tolist()), -1) for x in features]
        answers = [(label + (label == wrong)) % 3 if label >= 0 else None for label in labels]
        rows = [
            [1.0 if c == answer else 0.0 for c in range(3)] if answer is not None else [0.0] * 3 for answer in answers
        ]
        shift = torch.tensor([[0.0, 0.0, 0.5]])  # whatever is unknown is of class 2
        return torch.tensor(rows).reshape(-1, 3) + shift

    return predict


def shares(made: Population, samples: int, seed: int = 0) -> list[float]:
    """The share of each class among the samples that are chosen."""
    order = stream(seed, "evasion").permutation(len(made.test_labels))[:samples]
    labels = made.test_labels[torch.as_tensor(order)]
    return [float((labels == c).double().mean()) for c in range(3)]


@pytest.mark.parametrize("samples", [10, 30, 10_000])
def test_each_attack_and_all_together(samples: int) -> None:
    made = population()
    of = shares(made, samples)
    found = robustness(knowing(made), made, [Breaks(target=0), Breaks(target=1)], samples, 0)
    assert found["clean_accuracy"] == 1.0
    expected = {str(Breaks(target=c)): pytest.approx(1 - of[c]) for c in (0, 1)}
    assert found["robust_accuracy"] == expected
    assert found["worst_robust_accuracy"] == pytest.approx(of[2])
    assert found["robust_gap"] == pytest.approx(1 - of[2])


def test_samples_on_which_the_model_is_wrong_are_not_attacked_and_stay_wrong() -> None:
    made = population()
    of = shares(made, 30)
    Breaks.seen.clear()
    found = robustness(knowing(made, wrong=1), made, [Breaks(target=0)], 30, 0)
    assert found["clean_accuracy"] == pytest.approx(1 - of[1])
    assert found["worst_robust_accuracy"] == pytest.approx(of[2])
    assert [len(x) for x in Breaks.seen] == [round(30 * (1 - of[1]))]


def test_a_model_that_is_always_wrong_has_nothing_to_lose() -> None:
    made = population()
    always = lambda x: torch.full((len(x), 3), float("nan"))  # noqa: E731
    labels = made.test_labels.clone()
    made.test_labels = torch.ones_like(labels)
    found = robustness(always, made, [FGSM(), PGD()], 20, 0)
    assert found["robust_accuracy"] == {"FGSM(epsilon=0.1)": 0.0, "PGD(epsilon=0.1)": 0.0}
    assert found["clean_accuracy"] == found["robust_gap"] == 0.0


ATTACKS = [FGSM(epsilon=0.5), PGD(epsilon=0.5), ZerothOrder(epsilon=0.5, queries=110)]


def test_a_trained_model_loses_and_the_same_seed_loses_the_same() -> None:
    sim = simulation(model=SMALL_MLP, rounds=60, server={"learning_rate": 0.5})
    sim.run()
    predicted = partial(logits, sim)
    found = robustness(predicted, sim.setup.population, ATTACKS, 30, 0)
    assert found["clean_accuracy"] > found["worst_robust_accuracy"]
    assert found == robustness(predicted, sim.setup.population, ATTACKS, 30, 0)
    alone = robustness(predicted, sim.setup.population, ATTACKS[1:2], 30, 0)
    assert alone["robust_accuracy"][str(ATTACKS[1])] == found["robust_accuracy"][str(ATTACKS[1])]
    assert min(found["robust_accuracy"].values()) >= found["worst_robust_accuracy"]
    assert found["robust_gap"] == found["clean_accuracy"] - found["worst_robust_accuracy"]


def test_it_changes_nothing() -> None:
    sim = simulation(model=SMALL_MLP)
    sim.run()
    before, features = weights(sim).clone(), sim.setup.population.test_features.clone()
    robustness(partial(logits, sim), sim.setup.population, ATTACKS, 30, 0)
    assert torch.equal(weights(sim), before)
    assert torch.equal(sim.setup.population.test_features, features)
    assert weights(sim).grad is None or not weights(sim).requires_grad
