"""The gradients of small convolutional networks, written out for clients that train on a CPU.

For torch, a convolution of many clients is one of many groups, each of which has few samples. Here the samples of a
batch lie innermost, beside each other: the neighbourhoods of all pixels are then copied in long runs, a convolution is
one matrix product for each client, and pooling compares several samples at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustfl.federation.clients.fully_connected import Layers, hooked, layers_of, propagated, widths_of
from robustfl.federation.clients.local_steps import summed, up


@dataclass(frozen=True)
class Convolutions:
    """Stages of a 3 x 3 convolution with a margin of zeros, ReLU and 2 x 2 pooling, then linear layers.

    Attributes
    ----------
    channels : the channels of the samples, and those of each stage
    widths : those of the linear layers, as :func:`~robustfl.federation.clients.fully_connected.widths_of` tells them
    """

    channels: tuple[int, ...]
    widths: tuple[int, ...]


class Network(NamedTuple):
    """The weights [k, out, 9 in] and the biases [k, out, 1] of the stages, and the linear layers behind them."""

    stages: Layers
    linear: Layers


_CONVOLUTION = {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1}
_POOLING = {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1}


def convolutions_of(module: nn.Module, shape: Sequence[int]) -> Convolutions | None:
    """What a network for samples of this shape consists of, where it has the form of `Convolutions`; else None."""
    if type(module) is not nn.Sequential or len(shape) != 3 or any(hooked(part) for part in module.modules()):
        return None
    layers = list(module)
    depth = next((place for place, layer in enumerate(layers) if type(layer) is nn.Flatten), 0)
    widths = widths_of(nn.Sequential(*layers[depth:]))
    if widths is None or depth == 0 or depth % 3 or len(set(layers)) < len(layers):
        return None
    channels, (inputs, height, width) = [shape[0]], shape
    for convolution, gate, pooling in zip(layers[0:depth:3], layers[1:depth:3], layers[2:depth:3], strict=True):
        if type(convolution) is not nn.Conv2d or type(gate) is not nn.ReLU or type(pooling) is not nn.MaxPool2d:
            return None
        if not _has(convolution, _CONVOLUTION) or convolution.padding_mode != "zeros" or convolution.bias is None:
            return None
        if not _has(pooling, _POOLING) or pooling.ceil_mode or pooling.return_indices:
            return None
        if convolution.in_channels != inputs:
            return None
        inputs, height, width = convolution.out_channels, height // 2, width // 2
        channels.append(inputs)
    return Convolutions(tuple(channels), widths) if widths[0] == inputs * height * width > 0 else None


def _has(layer: nn.Module, settings: dict[str, int]) -> bool:
    """Whether a layer has these settings, each as a number or for both sides."""
    return all(getattr(layer, name) in (value, (value, value)) for name, value in settings.items())


ROOM = 2**19
"""Passes hold so many numbers at a time, so that most stay in the processor's caches; other clients take turns."""


def summed_gradients(
    models: Tensor, features: Tensor, labels: Tensor, rate: float, passes: Passes, radius: float = 0.0
) -> Tensor:
    """The sums of the gradients of the mean cross-entropy over the local steps of k clients.

    Formula: ``s_0 = 0``, ``s_{t+1} = s_t + grad L_t(w - rate s_t)``. With C the neighbourhoods of all pixels as the
    columns of a matrix, a convolution is ``W C + b``; with D the derivative by what comes out, its gradients are
    ``D C'`` and the row sums of D, and what goes back is ``W' D``, added up where the neighbourhoods overlap.

    Shapes: models [d] or [k, d], features [k, steps, m, channels, height, width], labels [k, steps, m], which are
    numbers of classes. The result is [k, d].

    With a radius steps are sharpness-aware, see :func:`~robustfl.federation.clients.sharpness.raised`.

    Cost: three products of the size of the forward pass for each step, and six with a radius. Beside the result, the
    memory of the passes.

    Guarantee: where torch has one thread, as it has in trials and their workers, the bits of a client's row depend on
    neither the number of the clients nor their order.
    """
    chunk = ROOM // passes.held((up(labels.shape[2]), *features.shape[3:]))
    parts = partial(parts_of, network=passes.network)
    return summed(models, features, labels, rate, chunk, parts, passes, aligned=True, radius=radius)


def parts_of(flat: Tensor, network: Convolutions) -> Network:
    """The layers in vectors [k, d], as views."""
    stages, start, k = [], 0, len(flat)
    for inputs, outputs in pairwise(network.channels):
        middle, end = start + 9 * inputs * outputs, start + (9 * inputs + 1) * outputs
        stages.append((flat[:, start:middle].view(k, outputs, -1), flat[:, middle:end].view(k, outputs, 1)))
        start = end
    return Network(stages, layers_of(flat[:, start:], network.widths))


class Passes:
    """Forward and backward passes, in memory that is used again and again; not by two threads at once.

    Memory: `ROOM` numbers or as many as one client needs, and as many again where clients are left over.
    """

    def __init__(self, network: Convolutions) -> None:
        self.network = network
        self._made: dict[tuple[torch.Size, torch.dtype], tuple[list[_Stage], list[Tensor]]] = {}

    def held(self, shape: Sequence[int]) -> int:
        """How many numbers are held, or a little more or fewer, for a client's samples [m, channels, height, width]."""
        m, _, height, width = shape
        found = 0
        for inputs, outputs in pairwise(self.network.channels):
            found += (9 * inputs + 2 * outputs) * height * width * m
            height, width = height // 2, width // 2
        return found

    def __call__(self, network: Network, features: Tensor, labels: Tensor, found: Network, samples: int) -> None:
        """Write the gradients of the mean cross-entropy into `found`; so many of the samples [k, m, ...] count."""
        k, m = labels.shape
        kind = (features.shape, features.dtype)
        if kind not in self._made:
            if len(self._made) > 1:  # more than those of a full turn and of a rest
                self._made.clear()
            self._made[kind] = self._stages(features)
        stages, reached = self._made[kind]
        stages[0].inside.copy_(features.permute(0, 2, 3, 4, 1))
        for stage, (weights, biases), after in zip(stages, network.stages, reached, strict=True):
            stage.forward(weights, biases, after)
        last = reached[-1]
        _, _, slopes = propagated(network.linear, last.view(k, -1, m).mT, labels, found.linear, samples)
        slope = torch.bmm(network.linear[0][0].mT, slopes[0]).view(last.shape)
        for place in reversed(range(len(stages))):
            weights, biases = found.stages[place]
            stages[place].backward(slope, reached[place], weights, biases)
            if place:
                slope = stages[place].back(network.stages[place][0])

    def _stages(self, features: Tensor) -> tuple[list[_Stage], list[Tensor]]:
        """The stages for samples [k, m, channels, height, width], and where each leaves what comes out of it."""
        k, m, _, height, width = features.shape
        stages = []
        for inputs, outputs in pairwise(self.network.channels):
            stages.append(_Stage(features, (k, inputs, height, width, m), outputs))
            height, width = height // 2, width // 2
        last = features.new_empty((k, self.network.channels[-1], height, width, m))
        return stages, [*(stage.inside for stage in stages[1:]), last]


class _Stage:
    """A stage of the networks of k clients, with the memory of its passes.

    Parameters
    ----------
    like : a tensor of the type and on the device of the samples
    shape : (k, channels, height, width, m) of what is handed in
    outputs : the channels of what comes out

    Attributes
    ----------
    inside : of this shape; what is handed in has to be written here before the forward pass
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int, int, int], outputs: int) -> None:
        k, inputs, height, width, m = shape
        padded = like.new_zeros((k, inputs, height + 2, width + 2, m))
        self.inside = padded[:, :, 1:-1, 1:-1]
        _, _, row, pixel, _ = strides = padded.stride()
        around = (*strides[:2], row, pixel, row, pixel, 1)
        self._seen = padded.as_strided((k, inputs, 3, 3, height, width, m), around)
        self._neighbours = torch.empty_like(self._seen, memory_format=torch.contiguous_format)
        self._columns = self._neighbours.view(k, 9 * inputs, -1)
        self._said = like.new_empty((k, outputs, height * width * m))
        pooled = (k, outputs, height // 2, width // 2, m)
        self._largest, self._at = like.new_empty(pooled), torch.empty(pooled, dtype=torch.int64, device=like.device)
        self._images, self._maxima, self._places = (
            values.flatten(0, 1).permute(0, 3, 1, 2)  # to torch, the samples are the channels of images
            for values in (self._said.view(k, outputs, height, width, m), self._largest, self._at)
        )
        self._slope = like.new_empty(shape)
        self._shifts = [
            (self._slope[:, :, to_row, to_column], self._neighbours[:, :, 1 + down, 1 + right, from_row, from_column])
            for down, (to_row, from_row) in _SHIFTS.items()
            for right, (to_column, from_column) in _SHIFTS.items()
            if (down, right) != (0, 0)
        ]

    def forward(self, weights: Tensor, biases: Tensor, after: Tensor) -> None:
        """Write what comes out of convolution, pooling and ReLU, [k, out, height / 2, width / 2, m], into `after`."""
        self._neighbours.copy_(self._seen)
        torch.baddbmm(biases, weights, self._columns, out=self._said)
        _OPS.max_pool2d_with_indices.out(self._images, [2, 2], [2, 2], out=self._maxima, indices=self._places)
        torch.clamp_min(self._largest, 0, out=after)

    def backward(self, slope: Tensor, after: Tensor, weights: Tensor, biases: Tensor) -> None:
        """Write the gradients [k, out, 9 in] and [k, out, 1], where `slope` is the derivative by `after`."""
        _OPS.threshold_backward.grad_input(slope, after, 0, grad_input=self._largest)
        # What the convolution said is not read any more, and the derivative by it takes its place.
        pooling = (self._images, [2, 2], [2, 2], [0, 0], [1, 1], False, self._places)
        _OPS.max_pool2d_with_indices_backward.grad_input(self._maxima, *pooling, grad_input=self._images)
        torch.bmm(self._said, self._columns.mT, out=weights)
        torch.sum(self._said, dim=2, keepdim=True, out=biases)

    def back(self, weights: Tensor) -> Tensor:
        """The derivative by what was handed in, after the backward pass; the neighbourhoods are lost."""
        torch.bmm(weights.mT, self._said, out=self._columns)
        self._slope.copy_(self._neighbours[:, :, 1, 1])
        for here, there in self._shifts:
            here.add_(there)
        return self._slope


_OPS = torch.ops.aten
_SHIFTS = {
    -1: (slice(0, -1), slice(1, None)),
    0: (slice(None), slice(None)),
    1: (slice(1, None), slice(0, -1)),
}
"""Where values stand that move by so many pixels, and where they stood."""
