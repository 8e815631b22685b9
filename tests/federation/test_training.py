"""What clients compute: both trainers agree with each other and with plain torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from robustfl.federation import Population
from robustfl.federation.classified import classified
from robustfl.federation.clients.training import (
    ConvolutionalTrainer,
    FullyConnectedTrainer,
    LoopedTrainer,
    VmappedTrainer,
    trainer_for,
)
from robustfl.federation.models.architectures import CNN, MLP, Model, ResNet20, Softmax
from tests.federation.worlds import SMALL_MLP, population, rules

MODELS = [Softmax(), SMALL_MLP, MLP(hidden=(6, 4)), CNN(channels=(3,)), CNN(channels=(4, 4), norm="group")]


def batches(made: Population, k: int, steps: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    index = torch.as_tensor(np.random.default_rng(0).integers(len(made.labels), size=k * steps * size))
    shape = (k, steps, size)
    return made.features[index].reshape(*shape, *made.features.shape[1:]), made.labels[index].reshape(shape)


def by_hand(made: Population, weights: torch.Tensor, x: torch.Tensor, y: torch.Tensor, rate: float) -> torch.Tensor:
    """Local SGD with a plain module and torch's own optimiser; the sum of gradients follows from the way gone."""
    module = copy.deepcopy(made.module).requires_grad_(True)
    vector_to_parameters(weights.clone(), module.parameters())  # it makes views of what it is given
    optimizer = torch.optim.SGD(module.parameters(), lr=rate)
    for features, labels in zip(x, y, strict=True):
        optimizer.zero_grad()
        cross_entropy(module(features), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return (weights - parameters_to_vector(module.parameters()).detach()) / rate


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("steps", [1, 3])
def test_trainers_agree_with_each_other_and_with_plain_torch(model: Model, steps: int) -> None:
    made = population(model)
    x, y = batches(made, k=4, steps=steps, size=5)
    weights = made.initial.clone()
    vmapped, looped = (trainer(made, 0.2)(weights, x, y) for trainer in (VmappedTrainer, LoopedTrainer))
    expected = torch.stack([by_hand(made, weights, *one, 0.2) for one in zip(x, y, strict=True)])
    assert vmapped.shape == (4, made.d)
    assert torch.allclose(vmapped, looped, atol=1e-5)
    assert torch.allclose(looped, expected, atol=2e-5)
    assert float(expected.norm(dim=1).min()) > 0.1
    assert torch.equal(weights, made.initial)
    assert not vmapped.requires_grad
    assert not looped.requires_grad


def test_trainers_agree_for_the_residual_network() -> None:
    made = population(ResNet20(), side=8)
    x, y = batches(made, k=2, steps=1, size=2)
    vmapped, looped = (trainer(made, 0.1)(made.initial, x, y) for trainer in (VmappedTrainer, LoopedTrainer))
    assert torch.allclose(vmapped, looped, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "mode", "size", "expected"),
    [
        (SMALL_MLP, "auto", 100_000, FullyConnectedTrainer),
        (Softmax(), "auto", 1, FullyConnectedTrainer),
        (SMALL_MLP, "vmap", 1, VmappedTrainer),
        (CNN(channels=(2,)), "auto", 1, ConvolutionalTrainer),
        (CNN(channels=(2,)), "auto", 100_000, ConvolutionalTrainer),
        (CNN(channels=(2,)), "loop", 1, LoopedTrainer),
        (CNN(channels=(2,), norm="group"), "auto", 1, VmappedTrainer),
        (CNN(channels=(2,), norm="group"), "auto", 100_000, LoopedTrainer),
        (SMALL_MLP, "loop", 1, LoopedTrainer),
        (CNN(channels=(2,)), "vmap", 100_000, VmappedTrainer),
    ],
    ids=str,
)
def test_plain_networks_are_written_out_and_other_large_convolutions_looped_on_a_cpu_unless_named(
    model: Model, mode: str, size: int, expected: type
) -> None:
    assert type(trainer_for(population(model), rules(client_mode=mode, batch_size=size))) is expected


def test_one_client_and_one_sample() -> None:
    made = population()
    x, y = batches(made, k=1, steps=1, size=1)
    assert torch.allclose(VmappedTrainer(made, 0.1)(made.initial, x, y), LoopedTrainer(made, 0.1)(made.initial, x, y))


@pytest.mark.parametrize("chunk", [1, 7, 30, 10_000])
def test_measuring_does_not_depend_on_the_chunks(chunk: int) -> None:
    made = population(SMALL_MLP)
    logits = made.module(made.test_features)
    accuracy = float((logits.argmax(dim=1) == made.test_labels).float().mean())
    loss = float(cross_entropy(logits, made.test_labels))
    found = classified(made, made.initial, chunk)
    assert (found.plain, found.loss) == pytest.approx((accuracy, loss), rel=1e-5)


def test_measuring_takes_any_weights_and_changes_nothing() -> None:
    made = population()
    zero = torch.zeros_like(made.initial)
    found = classified(made, zero)
    assert found.plain == pytest.approx(1 / 3)  # all logits equal: always the first class
    assert found.loss == pytest.approx(np.log(3), rel=1e-5)
    assert np.isnan(classified(made, torch.full_like(zero, float("nan"))).loss)
    assert not zero.any()
