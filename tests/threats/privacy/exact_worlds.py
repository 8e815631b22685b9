"""Models of robustfl at the start of a training and later, batches of digits, and how many of them were found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from robustfl.federation.task import Population, Task

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class World:
    """The digits, and weights of a model: those that it starts with, or those after a training on all samples."""

    population: Population
    weights: Tensor

    def gradient(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The gradient [d] of the mean cross-entropy of a batch."""
        leaf = (self.weights if weights is None else weights).detach().requires_grad_()
        views = self.population.views(leaf)
        logits = torch.func.functional_call(self.population.module, views, (features,))
        return torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), leaf)[0]

    def batch(self, seed: int, size: int) -> tuple[Tensor, Tensor]:
        """A batch, drawn with replacement as clients do."""
        places = np.random.default_rng([size, seed]).integers(len(self.population.labels), size=size)
        return self.population.features[places], self.population.labels[places]

    def first(self, flat: Tensor) -> tuple[Floats, Floats]:
        """What a flat vector holds of the first layer."""
        views = self.population.views(flat)
        return views["1.weight"].double().numpy(), views["1.bias"].double().numpy()


@cache
def mlp_world(width: int, *, trained: bool = False) -> World:
    """MLP of one hidden layer; trained: after 300 steps of SGD with batches of 64."""
    return _world(MLP(hidden=(width,)), trained)


@cache
def other_world(name: str) -> World:
    return _world({"cnn": CNN(channels=(4, 8)), "softmax": Softmax(), "deep": MLP(hidden=(48, 16))}[name], False)


def _world(model: Model, trained: bool) -> World:
    population = Task(data=Digits(), model=model, partition=IID()).prepare(clients=15, seed=0)
    world = World(population, population.initial)
    rng = np.random.default_rng(0)
    for _ in range(300 if trained else 0):
        places = rng.integers(len(population.labels), size=64)
        step = world.gradient(population.features[places], population.labels[places])
        world = World(population, world.weights - 0.5 * step)
    return world


def decibels(found: Floats, originals: Tensor) -> Floats:
    """The PSNR of each distinct original, capped at 100 dB, with the best pairs; 0 without a reconstruction."""
    own = np.unique(originals.flatten(1).double().numpy(), axis=0)
    psnr = np.zeros(len(own))
    if len(found):
        errors = ((own[:, None] - np.clip(found, 0, 1)[None]) ** 2).mean(axis=2)
        rows, columns = linear_sum_assignment(errors)
        psnr[rows] = -10 * np.log10(np.maximum(errors[rows, columns], 1e-10))
    return psnr
