"""Adversarial training: the search against plain torch, what it buys, and that nobody else notices."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

from robustfl.attacks import FGSM, IPM, PGD, SignFlip
from robustfl.defenses import FLTrust, Mean, Median
from robustfl.federation import Federation, Population, Task, assemble
from robustfl.federation.clients.hardening import feature_range, inner_search
from robustfl.federation.clients.training import LoopedTrainer, VmappedTrainer, predict, trainer_for
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Softmax
from robustfl.federation.observers.evasion import robustness
from tests.federation.worlds import (
    SMALL_MLP,
    computed,
    gradient,
    logits,
    population,
    rules,
    simulation,
    trusted,
    weights,
)

TRAINING: dict[str, Any] = {"epsilon": 0.3, "steps": 4}


def batches(made: Population, k: int, steps: int, size: int) -> tuple[Tensor, Tensor]:
    index = torch.as_tensor(np.random.default_rng(0).integers(len(made.labels), size=k * steps * size))
    shape = (k, steps, size)
    return made.features[index].reshape(*shape, *made.features.shape[1:]), made.labels[index].reshape(shape)


def hardened_by_hand(made: Population, weights: Tensor, x: Tensor, y: Tensor, values: dict[str, Any]) -> Tensor:
    """Projected gradient ascent with a plain module, from the samples themselves."""
    module = copy.deepcopy(made.module)
    vector_to_parameters(weights.clone(), module.parameters())
    low, high = float(made.features.min()), float(made.features.max())
    size, steps = values["epsilon"], values["steps"]
    found = x.clone()
    for _ in range(steps):
        leaf = found.detach().requires_grad_()
        cross_entropy(module(leaf), y).backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        found = found + values.get("step_size", 2.5 * size / steps) * leaf.grad.sign()
        found = torch.clamp(torch.clamp(found, x - size, x + size), low, high)
    return found


@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, CNN(channels=(3,), norm="group")], ids=repr)
@pytest.mark.parametrize("step_size", [None, 0.05])
def test_both_trainers_take_gradients_at_samples_hardened_step_by_step(model: Any, step_size: float | None) -> None:
    made, rate = population(model), 0.2
    values = TRAINING | ({} if step_size is None else {"step_size": step_size})
    search = inner_search(made, rules(adversarial_training=values))
    x, y = batches(made, k=3, steps=2, size=4)
    expected = []
    for own_x, own_y in zip(x, y, strict=True):
        total = torch.zeros_like(made.initial)
        for features, labels in zip(own_x, own_y, strict=True):
            local = made.initial - rate * total
            total = total + gradient(made, local, hardened_by_hand(made, local, features, labels, values), labels)
        expected.append(total)
    for trainer in (VmappedTrainer(made, rate, search), LoopedTrainer(made, rate, search)):
        found = trainer(made.initial, x, y)
        assert torch.allclose(found, torch.stack(expected), atol=1e-4)
        assert not found.requires_grad
    plain = VmappedTrainer(made, rate)(made.initial, x, y)
    assert not torch.allclose(plain, torch.stack(expected), atol=1e-2)


def test_trainers_begin_the_search_where_they_are_told() -> None:
    made = population(SMALL_MLP)
    search = inner_search(made, rules(adversarial_training={"epsilon": 0.3, "steps": 1, "step_size": 0.01}))
    x, y = batches(made, k=3, steps=2, size=4)
    starts = x + 0.2 * torch.sign(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    found = [trainer(made, 0.1, search)(made.initial, x, y, starts) for trainer in (VmappedTrainer, LoopedTrainer)]
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert not torch.allclose(found[0], VmappedTrainer(made, 0.1, search)(made.initial, x, y), atol=1e-3)


def test_the_search_stays_in_the_ball_and_the_range_and_raises_the_loss() -> None:
    made = population(SMALL_MLP)
    search = inner_search(made, rules(adversarial_training=TRAINING))
    assert search is not None
    x, y = made.features[:40], made.labels[:40]

    def loss(features: Tensor) -> Tensor:
        return cross_entropy(predict(made, made.initial, features), y)

    hard = search(torch.func.grad(loss), x, x + 5.0)  # a start far outside is brought back first
    low, high = feature_range(made.features)
    assert float((hard - x).abs().max()) <= 0.3 + 1e-5
    assert float(hard.min()) >= float(low)
    assert float(hard.max()) <= float(high)
    assert float(loss(hard)) > float(loss(x)) + 0.1


def test_one_step_is_the_fast_gradient_sign_method() -> None:
    made = population(SMALL_MLP)
    search = inner_search(made, rules(adversarial_training={"epsilon": 0.3, "steps": 1, "step_size": 0.3}))
    assert search is not None
    x, y = made.features[:40], made.labels[:40]
    low, high = feature_range(made.features)
    hard = search(torch.func.grad(lambda z: cross_entropy(predict(made, made.initial, z), y)), x, x)
    model = lambda z: predict(made, made.initial, z)  # noqa: E731
    assert torch.allclose(hard, FGSM(epsilon=0.3)(model, x, y, low=low, high=high), atol=1e-6)


def test_tables_have_a_range_for_each_column() -> None:
    low, high = feature_range(torch.tensor([[0.0, -5.0], [1.0, 7.0]]))
    assert (low.tolist(), high.tolist()) == ([0.0, -5.0], [1.0, 7.0])
    low, high = feature_range(torch.tensor([[[[0.0, -5.0]]], [[[1.0, 7.0]]]]))
    assert (float(low), float(high)) == (-5.0, 7.0)


# -- in a federation


def played(defense: Any = None, **values: Any) -> Tensor:
    sim = simulation(defense, **values)
    sim.run()
    return weights(sim)


def test_without_the_settings_no_batch_is_touched() -> None:
    sim = simulation()
    features = torch.rand((6, 1, 4, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    changed, starts = sim.setup.members.hardened(features, np.arange(6))
    assert changed is features
    assert starts is None
    assert inner_search(sim.setup.population, sim.setup.settings) is None


def test_training_on_hard_samples_is_deterministic_and_no_plain_training() -> None:
    values: dict[str, Any] = {"adversarial_training": TRAINING, "model": SMALL_MLP}
    assert torch.equal(played(**values), played(**values))
    assert not torch.equal(played(**values), played(model=SMALL_MLP))
    assert not torch.equal(
        played(**values), played(adversarial_training=TRAINING | {"random_start": False}, model=SMALL_MLP)
    )
    looped = played(client_mode="loop", **values)
    assert torch.allclose(played(client_mode="vmap", **values), looped, atol=1e-4)


def test_random_starts_fill_the_ball() -> None:
    sim = simulation(adversarial_training=TRAINING)
    features = torch.zeros((6, 1, 400, 1, 4, 4))
    _, starts = sim.setup.members.hardened(features, np.arange(6))
    assert starts is not None
    assert float(starts.abs().max()) <= 0.3
    assert float(starts.std()) == pytest.approx(0.3 / 3**0.5, rel=0.02)
    assert sim.setup.members.hardened(features[:2], np.array([0, 3]))[1] is not None
    fixed = simulation(adversarial_training=TRAINING | {"random_start": False})
    assert fixed.setup.members.hardened(features, np.arange(6))[1] is None


HARD: dict[str, Any] = {"adversarial_training": TRAINING, "augment": {"crop": 1, "noise": 0.1}, "model": SMALL_MLP}


def test_honest_clients_send_the_same_whatever_the_attack_and_the_defense() -> None:
    """SignFlip asks for the malicious clients' own messages, IPM does not: different clients are computed."""
    sims = [simulation(rule, f=2, attack=a, **HARD) for rule, a in ((Mean(), SignFlip()), (Median(), IPM()))]
    for number in range(3):
        sent = [computed(sim, number).sent for sim in sims]
        assert torch.allclose(sent[0], sent[1], atol=1e-6)


def test_the_servers_own_samples_are_hardened_and_the_clients_do_not_notice() -> None:
    trusting, plain = simulation(FLTrust(), **HARD), simulation(Mean(), **HARD)
    soft = simulation(FLTrust(), model=SMALL_MLP)
    messages = [trusted(sim) for sim in (trusting, soft)]
    assert messages[0] is not None
    assert messages[1] is not None
    assert not torch.equal(messages[0], messages[1])
    for number in range(3):
        sent = [computed(sim, number).sent for sim in (trusting, plain)]
        assert torch.equal(sent[0], sent[1])


@pytest.mark.slow
def test_adversarial_training_makes_digits_robust() -> None:
    made = Task(data=Digits(), model=MLP(hidden=(64,)), partition=IID()).prepare(clients=4, seed=0)
    found = {}
    for name, training in (("plain", None), ("hard", {"epsilon": 0.15, "steps": 4})):
        settings = Federation.model_validate(
            {
                "clients": 4,
                "rounds": 100,
                "batch_size": 32,
                "client_momentum": 0.9,
                "evaluate_every": 100,
                "server": {"learning_rate": 1.5},
                "adversarial_training": training,
            }
        )
        sim = assemble(made, settings, Mean(), seed=0)
        sim.run()
        found[name] = robustness(partial(logits, sim), made, [PGD(epsilon=0.15)], 200, 0)
    assert found["hard"]["worst_robust_accuracy"] > found["plain"]["worst_robust_accuracy"] + 0.15
    assert found["hard"]["clean_accuracy"] > 0.8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Field required"),
        ({"epsilon": 0}, "greater than 0"),
        ({"epsilon": float("inf")}, "finite"),
        ({"epsilon": True}, "should be a number"),
        ({"epsilon": 0.1, "steps": 0}, "greater than or equal to 1"),
        ({"epsilon": 0.1, "steps": 10**9}, "less than or equal to 1000"),
        ({"epsilon": 0.1, "step_size": 0}, "greater than 0"),
        ({"epsilon": 0.1, "step_size": True}, "should be a number"),
        ({"epsilon": 0.1, "step_size": "0.1"}, "should be a number"),
        ({"epsilon": 0.1, "norm": "l2"}, "not permitted"),
    ],
    ids=str,
)
def test_hostile_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Federation.model_validate({"adversarial_training": values})


def test_the_choice_of_trainer_keeps_the_search() -> None:
    made = population(SMALL_MLP)
    x, y = batches(made, k=2, steps=1, size=4)
    for mode in ("vmap", "loop"):
        hard, plain = (
            trainer_for(made, rules(client_mode=mode, adversarial_training=training))(made.initial, x, y)
            for training in (TRAINING, None)
        )
        assert not torch.allclose(hard, plain, atol=1e-3)
