"""The torch modules behind the models, and their initialisation from a generator; imported when a model is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from robustfl.errors import ParameterError

_STAGES = (16, 32, 64)
_BLOCKS = 3

_NORMS = (nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_RANDOM = (nn.AlphaDropout, nn.FeatureAlphaDropout)


def dense(input_shape: tuple[int, ...], hidden: Sequence[int], classes: int) -> nn.Module:
    """Flattening, then linear layers with ReLU between them: [batch, *input_shape] -> [batch, classes]."""
    widths = (math.prod(input_shape), *hidden, classes)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # no ReLU after the logits


def convolutions(image: tuple[int, int, int], channels: Sequence[int], classes: int, *, normed: bool) -> nn.Module:
    """Stages of convolution, group norm (if `normed`), ReLU and pooling, then a linear layer.

    Shapes: [batch, *image] -> logits [batch, classes].
    """
    layers, width = _stages(image, channels, normed=normed)
    return nn.Sequential(*layers, nn.Linear(width, classes))


def _stages(image: tuple[int, ...], channels: Sequence[int], *, normed: bool) -> tuple[list[nn.Module], int]:
    """The stages of convolutions and the flattening behind them, and how many values come out for a sample."""
    depth, height, width = image
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((depth, *channels)):
        norm = [nn.GroupNorm(math.gcd(outputs, 8), outputs)] if normed else []
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *norm, nn.ReLU(), nn.MaxPool2d(2)]
        height, width = height // 2, width // 2
    return [*layers, nn.Flatten()], channels[-1] * height * width


def variational(
    input_shape: tuple[int, ...], channels: Sequence[int], hidden: Sequence[int], code: int, classes: int, weight: float
) -> nn.Module:
    """Convolutions where there are `channels`, linear layers where there are `hidden`, then a random code.

    Shapes: [batch, *input_shape] -> logits [batch, classes].
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(input_shape)
    if channels:
        layers, width = _stages(input_shape, channels, normed=False)
    for inputs, outputs in pairwise((width, *hidden)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return VariationalBottleneck(nn.Sequential(*layers), (width, *hidden)[-1], code, classes, weight)


class ResidualBlock(nn.Module):
    """y = relu(x' + norm(conv(relu(norm(conv(x)))))); x' is x, or x at every second pixel padded with zero channels."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.padding = outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(groups, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:  # [batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]
        inner = functional.relu(self.first_norm(self.first(x)))
        inner = self.second_norm(self.second(inner))
        shortcut = x if self.stride == 1 else functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.padding))
        return functional.relu(inner + shortcut)


class ResidualNetwork(nn.Module):
    """A stem, three stages of residual blocks, the mean over pixels and a linear layer."""

    def __init__(self, channels: int, classes: int, groups: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, _STAGES[0], 3, padding=1, bias=False)
        self.stem_norm = nn.GroupNorm(groups, _STAGES[0])
        widths = (_STAGES[0], *(width for width in _STAGES for _ in range(_BLOCKS)))
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, groups) for a, b in pairwise(widths)))
        self.head = nn.Linear(_STAGES[-1], classes)

    def forward(self, x: Tensor) -> Tensor:  # [batch, channels, height, width] -> [batch, classes]
        x = self.blocks(functional.relu(self.stem_norm(self.stem(x))))
        logits: Tensor = self.head(x.mean(dim=(-2, -1)))
        return logits


class VariationalBottleneck(nn.Module):
    """A network whose last hidden representation h passes through a random code before the output layer.

    ``(m, s) = encoder(h)``, ``z = m + exp(s / 2) e`` with standard normal e, and the logits are ``head(decoder(z))``.
    Without random numbers z is m, so the network answers the same whenever it is asked.
    """

    def __init__(self, body: nn.Module, width: int, code: int, classes: int, weight: float) -> None:
        super().__init__()
        self.columns = code
        """The random numbers that the objective takes for a sample."""
        self.weight = weight
        self.body = body
        self.encoder = nn.Linear(width, 2 * code)
        self.decoder = nn.Linear(code, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor, draws: Tensor | None = None, *, diverging: bool = False) -> Any:
        """The logits [batch, classes] of samples [batch, ...]; with `diverging` also the divergences [batch]."""
        mean, spread = self.encoder(self.body(x)).chunk(2, dim=-1)
        code = mean if draws is None else mean + (spread / 2).exp() * draws
        logits = self.head(self.decoder(code))
        return (logits, (mean.square() + spread.exp() - spread - 1).sum(dim=-1) / 2) if diverging else logits

    def objective(
        self, parameters: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None
    ) -> Tensor:
        """The cross-entropy plus `weight` times the mean divergence of the codes from a standard normal.

        Formula of the divergence of one sample: ``sum(m^2 + exp(s) - s - 1) / 2`` over the code.
        """
        logits, divergences = functional_call(self, parameters, (features, draws), {"diverging": True})
        loss: Tensor = functional.cross_entropy(logits, labels) + self.weight * divergences.mean()
        return loss

    def drawn(self, rng: np.random.Generator, batch: int) -> NDArray[np.float64]:
        """The random numbers [batch, code] of one batch."""
        return rng.standard_normal((batch, self.columns))


class GatedRecurrence(nn.Module):
    """A gated recurrent unit over a sequence, and a linear layer behind its last state.

    ``z = sigmoid(a_z + b_z)``, ``r = sigmoid(a_r + b_r)`` and ``h <- (1 - z) tanh(a_n + r b_n) + z h`` for each element
    of the sequence, with a = input(x), b = state(h). It consists of linear layers, so that gradients of many clients
    can be computed at once, which torch's own recurrent layers do not allow.
    """

    def __init__(self, symbols: int, width: int, classes: int) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(symbols, 3 * width)
        self.state = nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # [batch, length, symbols] -> [batch, classes]
        hidden = x.new_zeros(x.shape[0], self.width)
        for element in self.input(x).unbind(dim=1):
            keeps, resets, news = element.chunk(3, dim=-1)
            kept, reset, old = self.state(hidden).chunk(3, dim=-1)
            share = torch.sigmoid(keeps + kept)
            hidden = (1 - share) * torch.tanh(news + torch.sigmoid(resets + reset) * old) + share * hidden
        logits: Tensor = self.head(hidden)
        return logits


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter of `network` from `generator` alone, in the order of its modules.

    Weights and biases of linear layers and convolutions are uniform in ±1/sqrt(fan_in), which is torch's default
    (Kaiming uniform, a = sqrt 5). Group and batch norms have weight 1 and bias 0.

    Raises TypeError for a layer of another kind that has parameters or buffers, which would not be initialised, and for
    alpha dropout, which would draw from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in module.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, _NORMS):
            if module.affine:
                module.weight.fill_(1)
                module.bias.fill_(0)
            for buffer in module.buffers(recurse=False):  # statistics, which no simulation reads
                buffer.fill_(0)
        elif isinstance(module, _RANDOM) or _own_tensors(module):
            raise TypeError(
                f"A model should consist of Linear, Conv2d, GroupNorm, batch norms, Dropout and layers without "
                f"parameters or state. Found {type(module).__name__}. A model with other layers gives them their "
                "values in a method of its own, `_initialise(network, generator)`."
            )


def emptied(network: nn.Module, device: torch.device) -> nn.Module:
    """A network without memory, on a device; until they get values, its numbers are NaN."""
    # `to_empty` does the same, but for tensors without memory it loads torch's algebra of shapes in every worker.
    network._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=device))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(math.nan if tensor.is_floating_point() else 0)
    return network


def require_filled(network: nn.Module, owner: str) -> None:
    """Raise ParameterError when a number of the network has no finite value."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if not bool(torch.isfinite(tensor).all()):
            raise ParameterError(
                f"{owner}: `_initialise` should give every parameter and buffer a finite value. `{name}` has none."
            )


def _own_tensors(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers that the module itself holds."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]
