"""What clients compute: gradients and local steps, for all clients at once or one by one.

Clients are computed all together with `torch.func.vmap`; large convolutions on a CPU are faster one client after the
other. Either way the result is one matrix with a row a client.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from robustfl.federation.settings import Federation

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population


class Trainer(Protocol):
    """Computes the messages of several clients from their batches."""

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """[d], [k, steps, batch, ...], [k, steps, batch] -> [k, d]: sums of gradients over the local steps."""


LOOP_FROM = 12_544
"""Samples times pixels of a client's batch (16 of 28 x 28) from which convolutions on a CPU are faster one by one."""


def trainer_for(population: Population, settings: Federation) -> Trainer:
    """The faster trainer for the model and the device, or the one that the settings name.

    The choice is a rule on sizes, not a measurement, so that the same trial gives the same bits everywhere.
    """
    mode = settings.client_mode
    if mode == "auto":
        work = settings.batch_size * math.prod(population.features.shape[2:])
        slow = population.task.model.convolutional and population.device.type == "cpu" and work >= LOOP_FROM
        mode = "loop" if slow else "vmap"
    rate = settings.local_learning_rate
    return VmappedTrainer(population, rate) if mode == "vmap" else LoopedTrainer(population, rate)


class VmappedTrainer:
    """All clients in one batched computation."""

    def __init__(self, population: Population, learning_rate: float) -> None:
        def loss(parameters: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(functional_call(population.module, parameters, (features,)), labels)

        self._views = population.views
        self._rate = learning_rate
        self._shared = vmap(grad(loss), in_dims=(None, 0, 0))
        self._separate = vmap(grad(loss), in_dims=(0, 0, 0))

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        k, steps = features.shape[:2]
        total = _flat(self._shared(self._views(weights), features[:, 0], labels[:, 0]), k)
        for step in range(1, steps):
            local = weights - self._rate * total
            total = total + _flat(self._separate(self._views(local), features[:, step], labels[:, step]), k)
        return total


class LoopedTrainer:
    """One client after the other."""

    def __init__(self, population: Population, learning_rate: float) -> None:
        self._population = population
        self._rate = learning_rate

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([self._client(weights, x, y) for x, y in zip(features, labels, strict=True)])

    def _client(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros_like(weights)
        for x, y in zip(features, labels, strict=True):
            named = {
                name: view.detach().requires_grad_()
                for name, view in self._population.views(weights - self._rate * total).items()
            }
            with torch.enable_grad():
                loss = cross_entropy(functional_call(self._population.module, named, (x,)), y)
                gradients = torch.autograd.grad(loss, list(named.values()))
            total += torch.cat([gradient.reshape(-1) for gradient in gradients])
        return total


def _flat(named: dict[str, Tensor], k: int) -> Tensor:
    return torch.cat([gradient.reshape(k, -1) for gradient in named.values()], dim=1)


@torch.no_grad()
def measure(population: Population, weights: Tensor, chunk: int = 2048) -> tuple[float, float]:
    """Accuracy and mean cross-entropy of a global model [d] on the test set."""
    named, correct, loss = population.views(weights), 0, 0.0
    for start in range(0, len(population.test_labels), chunk):
        labels = population.test_labels[start : start + chunk]
        logits = functional_call(population.module, named, (population.test_features[start : start + chunk],))
        correct += int((logits.argmax(dim=1) == labels).sum())
        loss += float(cross_entropy(logits, labels, reduction="sum"))
    return correct / len(population.test_labels), loss / len(population.test_labels)
