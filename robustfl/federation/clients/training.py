"""What clients compute: gradients and local steps, for all clients at once or one by one.

`torch.func.vmap` computes all clients together; large convolutions on a CPU are faster one client after the other. In
both cases the result is one matrix with one row per client.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from robustfl.federation.clients.fully_connected import gradients, widths_of
from robustfl.federation.clients.hardening import InnerSearch, inner_search
from robustfl.federation.settings import Federation

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population


class Trainer(Protocol):
    """Computes the messages of several clients from their batches."""

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        """The sums of gradients over the local steps.

        With `weights` [k, d] each client starts from its own model. In adversarial training the search for hard samples
        begins at `starts`, which have the shape of the features, or at the samples themselves.

        Shapes: [d] or [k, d], [k, steps, batch, ...], [k, steps, batch] -> [k, d].
        """


LOOP_FROM = 12_544
"""From this number of samples times pixels in a client's batch (16 of 28 x 28), a loop over clients is faster.

This holds for convolutions on a CPU.
"""


def trainer_for(population: Population, settings: Federation) -> Trainer:
    """The faster trainer for the model and the device, or the one that the settings name.

    The choice is a rule on sizes, not a measurement, so that the same trial gives the same bits everywhere.
    """
    mode = settings.client_mode
    if mode == "auto":
        work = settings.batch_size * math.prod(population.features.shape[2:])
        slow = population.task.model.convolutional and population.device.type == "cpu" and work >= LOOP_FROM
        mode = "loop" if slow else "vmap"
    rate, search = settings.local_learning_rate, inner_search(population, settings)
    return VmappedTrainer(population, rate, search) if mode == "vmap" else LoopedTrainer(population, rate, search)


class VmappedTrainer:
    """All clients in one batched computation."""

    def __init__(self, population: Population, learning_rate: float, search: InnerSearch | None = None) -> None:
        def loss(parameters: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(functional_call(population.module, parameters, (features,)), labels)

        def hardened(parameters: dict[str, Tensor], features: Tensor, labels: Tensor, start: Tensor) -> Any:
            assert search is not None
            slope = grad(loss, argnums=1)
            features = search(lambda x: slope(parameters, x, labels), features, start)
            return grad(loss)(parameters, features, labels)

        self._views = population.views
        self._rate = learning_rate
        self._hardens = search is not None
        gradient, batches = (grad(loss), (0, 0)) if search is None else (hardened, (0, 0, 0))
        self._shared = vmap(gradient, in_dims=(None, *batches))
        self._separate = vmap(gradient, in_dims=(0, *batches))

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        k, steps = features.shape[:2]
        data = [features, labels] if not self._hardens else [features, labels, features if starts is None else starts]
        first = self._shared if weights.ndim == 1 else self._separate
        total = _flat(first(self._views(weights), *(part[:, 0] for part in data)), k)
        for step in range(1, steps):
            local = weights - self._rate * total
            total = total + _flat(self._separate(self._views(local), *(part[:, step] for part in data)), k)
        return total


class LoopedTrainer:
    """One client after the other."""

    def __init__(self, population: Population, learning_rate: float, search: InnerSearch | None = None) -> None:
        self._population = population
        self._rate = learning_rate
        self._search = search

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        models = weights.expand(len(features), -1)
        begun = features if starts is None else starts
        return torch.stack([self._client(*client) for client in zip(models, features, labels, begun, strict=True)])

    def _client(self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor) -> Tensor:
        total = torch.zeros_like(weights)
        for x, y, start in zip(features, labels, starts, strict=True):
            named = {
                name: view.detach().requires_grad_()
                for name, view in self._population.views(weights - self._rate * total).items()
            }
            if self._search is not None:
                x = self._search(partial(self._slope, named, y), x, start)
            gradients = self._gradients(named, x, y, list(named.values()))
            total += torch.cat([gradient.reshape(-1) for gradient in gradients])
        return total

    def _slope(self, named: dict[str, Tensor], labels: Tensor, features: Tensor) -> Tensor:
        """The gradient of the loss with respect to the features."""
        leaf = features.detach().requires_grad_()
        return self._gradients(named, leaf, labels, [leaf])[0]

    def _gradients(
        self, named: dict[str, Tensor], features: Tensor, labels: Tensor, wanted: list[Tensor]
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            loss = cross_entropy(functional_call(self._population.module, named, (features,)), labels)
            return torch.autograd.grad(loss, wanted)


class TracedTrainer:
    """All clients in one batched computation that autograd can differentiate in the models.

    The gradients are those of :class:`VmappedTrainer` up to rounding, without adversarial search. They come from one
    backward pass over all clients, which takes half as long as a transformed function when it is differentiated again.
    """

    def __init__(self, population: Population, learning_rate: float) -> None:
        self._population, self._rate = population, learning_rate
        self._widths = widths_of(population.module)

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        models = weights.expand(len(features), -1)
        total = self._gradients(models, features[:, 0], labels[:, 0])
        for step in range(1, features.shape[1]):
            total = total + self._gradients(models - self._rate * total, features[:, step], labels[:, step])
        return total

    def _gradients(self, models: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        if self._widths is not None:
            return gradients(models, features, labels, self._widths)
        traced = torch.is_grad_enabled() and models.requires_grad
        with torch.enable_grad():
            leaf = models if traced else models.detach().requires_grad_()
            logits = predict(self._population, leaf, features).flatten(0, 1)
            losses = cross_entropy(logits, labels.flatten(), reduction="sum")
            (found,) = torch.autograd.grad(losses / labels.shape[1], leaf, create_graph=traced)
        return found


def _flat(named: dict[str, Tensor], k: int) -> Tensor:
    return torch.cat([gradient.reshape(k, -1) for gradient in named.values()], dim=1)


def predict(population: Population, weights: Tensor, features: Tensor) -> Tensor:
    """The logits [m, classes] of a model [d] for samples [m, ...]; or of k models at once, for samples of each.

    Shapes: [d], [m, ...] -> [m, classes]; [k, d], [k, m, ...] -> [k, m, classes].
    """

    def alone(model: Tensor, samples: Tensor) -> Tensor:
        logits: Tensor = functional_call(population.module, population.views(model), (samples,))
        return logits

    if weights.ndim == 1:
        return alone(weights, features)
    if len(weights) == 1:  # a batched computation takes longer to set up
        return alone(weights[0], features[0])[None]
    several: Tensor = vmap(alone)(weights, features)
    return several


def local_change(
    train: Trainer,
    weights: Tensor,
    features: Tensor,
    labels: Tensor,
    follow: Callable[[Tensor, Tensor, int], Tensor],
) -> Tensor:
    """The changes [k, d] from `weights` [d] that clients reach when `follow` decides their local steps.

    `follow` computes the changes [k, d] after a step from the changes before it, the gradients [k, d] there, and the
    number of the step.
    """
    change = weights.new_zeros((len(features), weights.numel()))
    for step in range(features.shape[1]):
        here = slice(step, step + 1)
        change = follow(change, train(weights + change, features[:, here], labels[:, here]), step)
    return change
