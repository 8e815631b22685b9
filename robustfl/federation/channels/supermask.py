"""Networks with frozen random weights, which learn only which edges (weights) to keep.

Every edge has a score, and the network keeps the share of the edges of each layer that have the highest scores.
Gradients pass straight through this choice: the derivative with respect to a score is taken to be the derivative with
respect to the mask of its edge (edge-popup).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robustfl.aggregation.votes.contract import MaskTraining
from robustfl.aggregation.votes.counting import stable_order
from robustfl.errors import ParameterError
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.models.modes import BatchStatistics, TwoModes
from robustfl.federation.streams import stream_seed
from robustfl.threats.rankings import dropped_edges

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

GAIN = math.sqrt(2)
"""The factor of the weights' size that keeps the variance of signals through layers with ReLU."""


@dataclass(frozen=True)
class MaskedLayer:
    """The edges of one layer: where they lie in flat weights, how many there are, and how many are left out."""

    name: str
    place: slice
    edges: int
    dropped: int


class Supermask:
    """A population's network with frozen weights, and the training of its scores.

    Weights and scores are flat vectors [d] in the population's order. The weights of a linear layer or a convolution
    are ``±gain / sqrt(fan_in)`` with the signs of the population's initial weights. Biases are 0, and norms do not
    scale or shift. Biases and the parameters of norms are not edges, and their scores are always 0.

    Attributes
    ----------
    layers : where the edges lie
    weights : [d] the frozen weights
    scores : [d] the initial scores, uniform in ±1/sqrt(fan_in)

    Raises ParameterError when the model has no edges, and for dropouts: masks are trained without random numbers.
    """

    def __init__(self, population: Population, training: MaskTraining, train: Trainer, seed: int) -> None:
        self._training, self._train = training, train
        if isinstance(population.module, TwoModes) and population.module.columns:
            raise ParameterError(
                f"{population.task.model!r} has dropouts, and clients that rank draw none. Leave them out."
            )
        self.weights = torch.zeros_like(population.initial)
        self.scores = torch.zeros_like(population.initial)
        generator = torch.Generator().manual_seed(stream_seed(seed, "scores"))
        self.layers: list[MaskedLayer] = []
        start = 0
        for name, shape in population.shapes.items():
            edges = shape.numel()
            place, start = slice(start, start + edges), start + edges
            initial = population.initial[place]
            if len(shape) < 2:
                owner = population.module.get_submodule(name.rpartition(".")[0])
                norm = isinstance(owner, nn.GroupNorm | BatchStatistics)
                self.weights[place] = initial if norm else 0.0
                continue
            bound = 1 / math.sqrt(shape[1:].numel())
            self.weights[place] = GAIN * bound * initial.sign()
            self.scores[place] = torch.empty(edges).uniform_(-bound, bound, generator=generator).to(initial)
            self.layers.append(MaskedLayer(name, place, edges, dropped_edges(edges, training.keep)))
        if not self.layers:
            raise ParameterError(f"{population.task.model!r} has no weights of linear layers or convolutions to rank.")
        self._slopes = torch.zeros_like(self.weights)
        for layer in self.layers:
            self._slopes[layer.place] = self.weights[layer.place]
        self._ladder = [self.scores[layer.place].sort().values for layer in self.layers]

    @property
    def edges(self) -> tuple[int, ...]:
        """The number of edges of each layer."""
        return tuple(layer.edges for layer in self.layers)

    def mask(self, scores: Tensor) -> Tensor:
        """1 for parameters that the network keeps and 0 for those that it leaves out: [..., d] -> [..., d]."""
        mask = torch.ones_like(scores)
        for layer in self.layers:
            own = scores[..., layer.place]
            mask[..., layer.place] = highest(own if self._training.criterion == "score" else own.abs(), layer.dropped)
        return mask

    def masked(self, scores: Tensor) -> Tensor:
        """The weights that the network computes with: [..., d] -> [..., d]."""
        return self.mask(scores) * self.weights

    def gradient(self, scores: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        """The straight-through gradient of the loss with respect to the scores.

        Formula: ``dL/ds_e = w_e dL/dW_e`` at ``W = mask(s) w``; it is multiplied by ``sign(s_e)`` for the criterion
        "abs".

        Shapes: [k, d], [k, batch, ...], [k, batch] -> [k, d].
        """
        begun = None if starts is None else starts[:, None]
        slopes = self._train(self.masked(scores), features[:, None], labels[:, None], begun) * self._slopes
        return slopes if self._training.criterion == "score" else slopes * scores.sign()

    def trained(
        self, scores: Tensor, features: Tensor, labels: Tensor, number: int, starts: Tensor | None = None
    ) -> Tensor:
        """The scores after every client's local steps in round `number`.

        All clients start from the same scores [d], or each from its own [k, d].

        Shapes: [d] or [k, d], [k, steps, batch, ...], [k, steps, batch] -> [k, d].
        """
        rules, (k, steps) = self._training, labels.shape[:2]
        local = scores.repeat(k, 1) if scores.ndim == 1 else scores.clone()
        velocity = torch.zeros_like(local)
        for step in range(steps):
            begun = None if starts is None else starts[:, step]
            slope = self.gradient(local, features[:, step], labels[:, step], begun)
            velocity.mul_(rules.momentum).add_(slope).add_(local, alpha=rules.weight_decay)
            local.sub_(velocity, alpha=learning_rate(rules, number, step, steps))
        return local

    def rankings(self, scores: Tensor) -> list[NDArray[np.int64]]:
        """The edges of each layer in ascending order of their scores: [k, d] -> one array [k, n_l] per layer.

        Edges with equal scores are in the order of their numbers.
        """
        return [_order(scores[:, layer.place]) for layer in self.layers]

    def ranked(self, rankings: list[NDArray[np.int64]]) -> Tensor:
        """The scores [d] that a global ranking, one array [n_l] per layer, stands for.

        They are the initial scores of each layer, given to its edges in the order of the ranking.
        """
        scores = torch.zeros_like(self.scores)
        for layer, ladder, ranking in zip(self.layers, self._ladder, rankings, strict=True):
            scores[layer.place][torch.as_tensor(ranking, device=scores.device)] = ladder
        return scores


def learning_rate(rules: MaskTraining, number: int, step: int, steps: int) -> float:
    """The rate ``lr decay^round (1 + cos(pi e / E)) / 2`` in part e of the E parts of the local steps; e is from 0."""
    epochs = min(rules.epochs or steps, steps)
    return rules.learning_rate * rules.decay**number * (1 + math.cos(math.pi * (step * epochs // steps) / epochs)) / 2


def highest(values: Tensor, dropped: int) -> Tensor:
    """0 for the `dropped` lowest values of each row and 1 for all others; the first of equal values counts as lower.

    Shapes: [..., n] -> [..., n].
    """
    kept = torch.ones_like(values)
    if not dropped:
        return kept
    least = _smallest(values, dropped)
    kept = (values >= least).to(values)
    wrong = kept.sum(dim=-1) != values.shape[-1] - dropped  # ties around the limit, or NaN
    if bool(wrong.any()):
        order = values[wrong].argsort(dim=-1, stable=True)[..., :dropped]
        kept[wrong] = torch.ones_like(values[wrong]).scatter_(-1, order, 0.0)
    return kept


def _smallest(values: Tensor, rank: int) -> Tensor:
    """The value of a rank (from 0) in each row, [..., 1]; numpy computes it on the host, where it is much faster."""
    if values.device.type != "cpu":
        return values.kthvalue(rank + 1, dim=-1, keepdim=True).values
    return torch.from_numpy(np.partition(values.numpy(), rank, axis=-1)[..., rank : rank + 1].copy())


def _order(scores: Tensor) -> NDArray[np.int64]:
    if scores.device.type == "cpu":
        return stable_order(scores.numpy())
    order: NDArray[np.int64] = scores.argsort(dim=-1, stable=True).cpu().numpy()
    return order
