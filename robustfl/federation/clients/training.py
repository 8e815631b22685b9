"""What clients compute: gradients and local steps, for all clients at once or one by one.

Fully connected networks have their gradients written out, for all clients together, and so have plain convolutional
networks on a CPU. Other networks are differentiated: `torch.func.vmap` computes all clients together; other large
convolutions on a CPU are faster one client after the other. In all cases the result is one matrix with one row per
client.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from robustfl.federation.clients import convolutional
from robustfl.federation.clients.fully_connected import gradients, logits, widths_of
from robustfl.federation.clients.hardening import InnerSearch, inner_search
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.clients.replay import FullyConnectedReplay
from robustfl.federation.clients.sharpness import raised
from robustfl.federation.clients.written_out import ConvolutionalTrainer, FullyConnectedTrainer
from robustfl.federation.settings import Federation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustfl.aggregation.client_side import Objective
    from robustfl.federation.task import Population


LOOP_FROM = 12_544
"""From this number of samples times pixels in a client's batch (16 of 28 x 28), a loop over clients is faster.

This holds for convolutions on a CPU.
"""


def trainer_for(population: Population, settings: Federation, objective: Objective | None = None) -> Trainer:
    """The faster trainer for the model and the device, or the one that the settings name.

    The choice is a rule on sizes, not a measurement, so that the same trial gives the same bits everywhere. Clients
    minimise `objective`, by default that of the population's model. All trainers make sharpness-aware steps where the
    settings ask for them, see :func:`~robustfl.federation.clients.sharpness.raised`.
    """
    mode, objective = settings.client_mode, objective or objective_of(population)
    if mode == "auto":
        work = settings.batch_size * math.prod(population.features.shape[2:])
        slow = population.task.model.convolutional and population.device.type == "cpu" and work >= LOOP_FROM
        mode = "loop" if slow else "vmap"
    rate, search = settings.local_learning_rate, inner_search(population, settings)
    radius = settings.sharpness_radius
    kind = LoopedTrainer if mode == "loop" else VmappedTrainer
    usual = kind(population, rate, search, objective, radius)
    if settings.client_mode != "auto" or search is not None or not isinstance(objective, CrossEntropy):
        return usual
    widths = widths_of(objective.network)
    if widths is not None:
        return FullyConnectedTrainer(widths, rate, usual, radius)
    plain = convolutional.convolutions_of(objective.network, population.features.shape[1:])
    if plain is None or population.device.type != "cpu":
        return usual
    return ConvolutionalTrainer(plain, rate, usual, radius)


class VmappedTrainer:
    """All clients in one batched computation."""

    def __init__(
        self,
        population: Population,
        learning_rate: float,
        search: InnerSearch | None = None,
        objective: Objective | None = None,
        radius: float = 0.0,
    ) -> None:
        loss = objective or objective_of(population)

        def hardened(
            parameters: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None, start: Tensor
        ) -> Any:
            assert search is not None
            slope = grad(loss, argnums=1)
            features = search(lambda x: slope(parameters, x, labels, draws), features, start)
            return grad(loss)(parameters, features, labels, draws)

        self._views = population.views
        self._rate, self._radius = learning_rate, radius
        self._hardens = search is not None
        self._gradient = grad(loss) if search is None else hardened

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        data = [features, labels, draws]
        if self._hardens:
            data.append(features if starts is None else starts)
        total = self._step(weights, data, 0)
        for step in range(1, features.shape[1]):
            total = total + self._step(weights - self._rate * total, data, step)
        return total

    def _step(self, weights: Tensor, data: list[Tensor | None], step: int) -> Tensor:
        """What all clients follow [k, d] on their batches of one step."""
        parts = [None if part is None else part[:, step] for part in data]
        slopes = self._slopes(weights, parts)
        return self._slopes(raised(weights, slopes, self._radius), parts) if self._radius else slopes

    def _slopes(self, weights: Tensor, parts: list[Tensor | None]) -> Tensor:
        """The gradients [k, d] of all clients, each on its batch."""
        models = None if weights.ndim == 1 else 0
        gradient = vmap(self._gradient, in_dims=(models, *(None if part is None else 0 for part in parts)))
        named: dict[str, Tensor] = gradient(self._views(weights), *parts)
        return torch.cat([tensor.flatten(1) for tensor in named.values()], dim=1)


class LoopedTrainer:
    """One client after the other."""

    def __init__(
        self,
        population: Population,
        learning_rate: float,
        search: InnerSearch | None = None,
        objective: Objective | None = None,
        radius: float = 0.0,
    ) -> None:
        self._population = population
        self._rate, self._radius = learning_rate, radius
        self._search = search
        self._loss = objective or objective_of(population)

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        models = weights.expand(len(features), -1)
        begun = features if starts is None else starts
        drawn = [None] * len(features) if draws is None else draws
        clients = zip(models, features, labels, begun, drawn, strict=True)
        return torch.stack([self._client(*client) for client in clients])

    def _client(
        self, weights: Tensor, features: Tensor, labels: Tensor, starts: Tensor, draws: Tensor | None
    ) -> Tensor:
        total = torch.zeros_like(weights)
        drawn = [None] * len(features) if draws is None else draws
        for x, y, start, numbers in zip(features, labels, starts, drawn, strict=True):
            here = weights - self._rate * total
            slopes = self._slopes(here, x, y, start, numbers)
            if self._radius:
                slopes = self._slopes(raised(here, slopes, self._radius), x, y, start, numbers)
            total += slopes
        return total

    def _slopes(self, weights: Tensor, features: Tensor, labels: Tensor, start: Tensor, draws: Tensor | None) -> Tensor:
        """The gradient [d] of one client on one batch."""
        named = {name: view.detach().requires_grad_() for name, view in self._population.views(weights).items()}
        if self._search is not None:
            features = self._search(partial(self._slope, named, labels, draws), features, start)
        gradients = self._gradients(named, features, labels, draws, list(named.values()))
        return torch.cat([gradient.reshape(-1) for gradient in gradients])

    def _slope(self, named: dict[str, Tensor], labels: Tensor, draws: Tensor | None, features: Tensor) -> Tensor:
        """The gradient of the loss with respect to the features."""
        leaf = features.detach().requires_grad_()
        return self._gradients(named, leaf, labels, draws, [leaf])[0]

    def _gradients(
        self, named: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None, wanted: list[Tensor]
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            return torch.autograd.grad(self._loss(named, features, labels, draws), wanted)


class TracedTrainer:
    """All clients in one batched computation that autograd can differentiate in the models.

    Labels may be probabilities [k, steps, batch, classes]. The gradients are those of :class:`VmappedTrainer` up to
    rounding, without adversarial search, and with the code of a coded model at its mean. They come from one backward
    pass over all clients, which takes half as long as a transformed function when it is differentiated again.
    Sharpness-aware steps are differentiated through both of their gradients.
    """

    def __init__(self, population: Population, learning_rate: float, radius: float = 0.0) -> None:
        self._population, self._rate, self._radius = population, learning_rate, radius
        self._widths = widths_of(population.module)
        # What normalises batches trains otherwise than it answers; autograd can follow the transformed function, too.
        normalises = getattr(population.module, "normalises", False)
        self._usual = VmappedTrainer(population, learning_rate, radius=radius) if normalises else None

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        if self._usual is not None:
            return self._usual(weights, features, labels)
        models = weights.expand(len(features), -1)
        total = self._step(models, features[:, 0], labels[:, 0])
        for step in range(1, features.shape[1]):
            total = total + self._step(models - self._rate * total, features[:, step], labels[:, step])
        return total

    def _step(self, models: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        slopes = self._gradients(models, features, labels)
        return self._gradients(raised(models, slopes, self._radius), features, labels) if self._radius else slopes

    def _gradients(self, models: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        traced = torch.is_grad_enabled() and models.requires_grad
        # What is written out is the derivative by the models alone, for labels that are classes.
        searched = features.requires_grad or labels.is_floating_point()
        if self._widths is not None and not searched:
            return gradients(models, features, labels, self._widths)
        with torch.enable_grad():
            leaf = models if traced else models.detach().requires_grad_()
            guesses = predict(self._population, leaf, features).flatten(0, 1)
            losses = cross_entropy(guesses, labels.flatten(0, 1), reduction="sum")
            (found,) = torch.autograd.grad(losses / labels.shape[1], leaf, create_graph=traced)
        return found

    def replay(
        self, features: Tensor, labels: Tensor, plans: int, places: int, messages: Callable[[Tensor], Tensor]
    ) -> FullyConnectedReplay | None:
        """The messages of one step of so many models on the same samples; None if only autograd can differentiate them.

        The parameters are those of :class:`~robustfl.federation.clients.replay.FullyConnectedReplay`.
        """
        if self._widths is None or self._radius or features.requires_grad or labels.is_floating_point():
            return None
        return FullyConnectedReplay(features, labels, self._widths, plans, places, messages)


def objective_of(population: Population, network: nn.Module | None = None) -> Objective:
    """What clients minimise if nothing defends them: the cross-entropy, or what the model asks for in its place.

    `network` is differentiated in place of the population's module; it has the same parameters by name.
    """
    module = population.module if network is None else network
    own: Objective | None = getattr(module, "objective", None)
    return CrossEntropy(module) if own is None else own


@dataclass(frozen=True)
class CrossEntropy:
    """The mean cross-entropy of a network, which is what clients minimise if nothing asks for anything else."""

    network: nn.Module

    def __call__(
        self, parameters: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None = None
    ) -> Tensor:
        """The loss of the network with these parameters on samples [m, ...]; nothing about it is random."""
        return cross_entropy(functional_call(self.network, parameters, (features,)), labels)


def predict(population: Population, weights: Tensor, features: Tensor) -> Tensor:
    """The logits [m, classes] of a model [d] for samples [m, ...]; or of k models at once, for samples of each.

    Shapes: [d], [m, ...] -> [m, classes]; [k, d], [k, m, ...] -> [k, m, classes].
    """
    plain = population.widths is not None

    def alone(model: Tensor, samples: Tensor) -> Tensor:
        named = population.views(model)
        if plain:
            return logits(list(named.values()), samples)
        found: Tensor = functional_call(population.module, named, (samples,))
        return found

    if weights.ndim == 1:
        return alone(weights, features)
    if len(weights) == 1:  # a batched computation takes longer to set up
        return alone(weights[0], features[0])[None]
    several: Tensor = vmap(alone)(weights, features)
    return several


def predict_alike(population: Population, models: Tensor, features: Tensor) -> Tensor:
    """The logits [k, m, classes] of k models [k, d] at once for the same samples [m, ...]."""

    def alone(model: Tensor) -> Tensor:
        logits: Tensor = functional_call(population.module, population.views(model), (features,))
        return logits

    several: Tensor = vmap(alone)(models)
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
