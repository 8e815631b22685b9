"""Layers that do one thing in training and another when a model is judged, for many clients at once.

Dropout of torch draws from a global generator, and batch normalisation writes into buffers; neither can be done for the
clients of a simulation together, or repeated. Here the random numbers of a dropout come with the samples, and the
statistics of a normalisation are those of the batch at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from robustfl.errors import ParameterError

Statistics = tuple[Tensor, Tensor]
"""The mean and the variance of each channel."""


@dataclass
class Pass:
    """One forward pass: what its layers are handed, and what they leave behind.

    Attributes
    ----------
    kind : `training`, `measuring` (statistics of the samples are kept), or `judging` (statistics that were kept)
    batch : the number of samples
    draws : [batch, columns] uniform numbers for dropouts; without them nothing is dropped
    taken : so many of the columns have been used; where nothing is drawn, so many would have been
    statistics : those of each normalisation, in the order of the calls
    used : so many of the statistics have been used
    """

    kind: Literal["training", "measuring", "judging"]
    batch: int
    draws: Tensor | None = None
    taken: int = 0
    statistics: list[Statistics] = field(default_factory=list)
    used: int = 0


class Mode(nn.Module):
    """A layer that is told which pass it is part of."""

    now: Pass | None = None


class DrawnDropout(Mode):
    """Dropout whose random numbers are handed in.

    Formula: each value (or each channel, if `channels`) is 0 with probability p, and divided by 1 - p otherwise.
    """

    def __init__(self, p: float, *, channels: bool) -> None:
        super().__init__()
        self.p, self.channels = p, channels

    def forward(self, x: Tensor) -> Tensor:
        now = self.now
        if now is None or now.kind != "training":
            return x
        if x.ndim < 2 or len(x) != now.batch:
            raise ParameterError(
                f"A dropout should be handed tensors [batch, ...]. Found {list(x.shape)} for {now.batch} samples."
            )
        shape = x.shape[1:2] if self.channels else x.shape[1:]
        start, now.taken = now.taken, now.taken + shape.numel()
        if now.draws is None:
            return x
        uniform = now.draws[:, start : now.taken].reshape(len(x), *shape, *[1] * (x.ndim - 1 - len(shape)))
        return x * (uniform >= self.p) / (1 - self.p) if self.p < 1 else x * 0


class BatchStatistics(Mode):
    """Static batch normalisation: no statistics are kept from step to step, and none are sent.

    Formula: ``(x - mean) / sqrt(variance + eps) * weight + bias`` for each channel, with the statistics of the batch in
    training, and those of the reference samples under the same weights when a model is judged.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, plain: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = plain.weight, plain.bias, plain.eps

    def forward(self, x: Tensor) -> Tensor:
        now = self.now
        if now is not None and now.kind == "judging":
            mean, variance = now.statistics[now.used]
            now.used += 1
        else:
            others = [dimension for dimension in range(x.ndim) if dimension != 1]
            mean, variance = x.mean(dim=others), x.var(dim=others, unbiased=False)
            if now is not None and now.kind == "measuring":
                now.statistics.append((mean, variance))
        places = (-1, *[1] * (x.ndim - 2))
        found = (x - mean.reshape(places)) * (variance + self.eps).rsqrt().reshape(places)
        if self.weight is not None and self.bias is not None:
            found = found * self.weight.reshape(places) + self.bias.reshape(places)
        return found


class TwoModes(nn.Module):
    """A network with such layers: called, it is judged; clients minimise :meth:`objective`.

    Attributes
    ----------
    columns : the uniform numbers that a sample takes in training
    reference : samples [m, ...] whose statistics a model is judged with; until they are set, those of the batch are
    normalises : whether there is a normalisation, so that samples of a batch depend on each other
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.normalises = any(isinstance(layer, BatchStatistics) for layer in network.modules())
        self.reference: Tensor | None = None
        self.columns = 0
        if any(isinstance(layer, DrawnDropout) for layer in network.modules()):
            like = next(network.parameters())
            with torch.no_grad(), self._told(Pass("training", batch=2)) as now:
                network(like.new_zeros((2, *shape)))
            self.columns = now.taken

    def forward(self, x: Tensor) -> Tensor:  # [batch, ...] -> [batch, classes]
        measured: list[Statistics] = []
        if self.normalises:
            reference = x if self.reference is None else self.reference
            with self._told(Pass("measuring", batch=len(reference))) as now:
                self.network(reference)
            measured = now.statistics
        with self._told(Pass("judging", batch=len(x), statistics=measured)):
            logits: Tensor = self.network(x)
        return logits

    def objective(
        self, parameters: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None = None
    ) -> Tensor:
        """The mean cross-entropy of a batch in training."""
        own = {name.removeprefix("network."): value for name, value in parameters.items()}
        with self._told(Pass("training", batch=len(features), draws=draws)):
            return cross_entropy(functional_call(self.network, own, (features,)), labels)

    def drawn(self, rng: np.random.Generator, batch: int) -> NDArray[np.float64]:
        """The random numbers [batch, columns] of one batch."""
        return rng.random((batch, self.columns))

    @contextmanager
    def _told(self, now: Pass) -> Iterator[Pass]:
        layers = [layer for layer in self.network.modules() if isinstance(layer, Mode)]
        for layer in layers:
            layer.now = now
        try:
            yield now
        finally:
            for layer in layers:
                layer.now = None


_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def in_two_modes(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A network whose dropouts and batch normalisations are those of this module; as it is, if it has none of them.

    `shape` is that of one sample. Cost: a forward pass of two samples if there are dropouts.

    Raises ParameterError for a network that is such a layer itself, and for what a dropout may not be handed.
    """
    changed = False
    for owner in list(network.modules()):
        for name, layer in list(owner.named_children()):
            found: Mode | None = None
            if isinstance(layer, _BatchNorm):
                found = BatchStatistics(layer)
            elif isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
                found = DrawnDropout(layer.p, channels=isinstance(layer, _CHANNELS))
            if found is not None:
                setattr(owner, name, found)
                changed = True
    return TwoModes(network, shape) if changed else network
