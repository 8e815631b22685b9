"""The gradients of fully connected networks, written out: for clients, and with their derivative for attackers.

A small network takes far less time for its arithmetic than autograd for finding out what to compute. Clients train
without it (:func:`summed_gradients`). What an attacker imagines is differentiated through every gradient of a training:
for autograd such a gradient is some forty steps, and here it is one (:func:`gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from robustfl.federation.clients.local_steps import ALIGNED, summed

Layers = list[tuple[Tensor, Tensor]]
"""The weights [k, out, in] and the biases [k, out, 1] of each layer."""


def widths_of(module: nn.Module) -> tuple[int, ...] | None:
    """The widths of a network of linear layers with ReLU between them, from the inputs to the logits; else None."""
    if type(module) is not nn.Sequential or len(module) < 2:
        return None
    first = module[0]
    if type(first) is not nn.Flatten or (first.start_dim, first.end_dim) != (1, -1):
        return None
    linear, between = list(module)[1::2], list(module)[2::2]
    if len(linear) != len(between) + 1 or not all(type(layer) is nn.ReLU for layer in between):
        return None
    if not all(type(layer) is nn.Linear and layer.bias is not None for layer in linear):
        return None
    layers = [layer for layer in linear if isinstance(layer, nn.Linear)]
    if len(set(layers)) < len(layers) or any(hooked(part) for part in module.modules()):
        return None
    if any(before.out_features != after.in_features for before, after in pairwise(layers)):
        return None
    return layers[0].in_features, *(layer.out_features for layer in layers)


def logits(parameters: Sequence[Tensor], features: Tensor) -> Tensor:
    """What a network that :func:`widths_of` recognises says of samples [m, ...], with these weights and biases in turn.

    The bits are those of the network itself, which takes several times as long to be called with other parameters.
    """
    reached = features.flatten(1)
    for place in range(0, len(parameters), 2):
        reached = linear(reached.relu() if place else reached, parameters[place], parameters[place + 1])
    return reached


def derived_logits(parameters: Sequence[Tensor], features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The :func:`logits`, and the function from a derivative by them [m, classes] to that by all parameters [d].

    The bits of the derivative are those of autograd.
    """
    inputs = [features.flatten(1)]
    for place in range(0, len(parameters) - 2, 2):
        inputs.append(linear(inputs[-1], parameters[place], parameters[place + 1]).relu_())

    def pulled(slope: Tensor) -> Tensor:
        found: list[Tensor] = []
        for place, reached in reversed(list(enumerate(inputs))):
            found[:0] = [slope.t().mm(reached).flatten(), slope.sum(dim=0)]
            if place:
                slope = _gated(slope.mm(parameters[2 * place]), reached)
        return torch.cat(found)

    return linear(inputs[-1], *parameters[-2:]), pulled


def hooked(module: nn.Module) -> bool:
    """Whether functions of others are called when the module is, which may change what it computes."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


CHUNK = 2**17
"""So many parameters of models make their local steps together: they and their gradients stay in the processor's cache.
"""


WIDE = 16
"""Batches of so many samples, a multiple of `ALIGNED`, are multiplied alike wherever a matrix begins, if no layer is
narrower than `ALIGNED`: so it was for all networks that were tried, with the library that torch has on x86. For others,
routines for small matrices ask where a matrix begins, and copies that begin alike cost up to as much again."""


def summed_gradients(
    models: Tensor, features: Tensor, labels: Tensor, rate: float, widths: Sequence[int], radius: float = 0.0
) -> Tensor:
    """The sums of the gradients of the mean cross-entropy over the local steps of k clients.

    Formula: ``s_0 = 0``, ``s_{t+1} = s_t + grad L_t(w - rate s_t)``, with the gradient of :func:`gradients`. With a
    radius steps are sharpness-aware: the gradient is that at the place which
    :func:`~robustfl.federation.clients.sharpness.raised` finds from it.

    Shapes: models [d] or [k, d], features [k, steps, m, ...], labels [k, steps, m], which are numbers of classes;
    `widths` are those of :func:`widths_of`. The result is [k, d].

    Cost: three products of the size of the forward pass for each step, and six with a radius. Beside the result, k d
    numbers of memory where there is one step, and those of a chunk of clients where there are several, or a radius.

    Guarantee: where torch has one thread, as it has in trials and their workers, the bits of a client's row depend on
    neither the number of the clients nor their order. With more threads a product is divided among them in another way
    for other numbers of clients, so that rows may differ in the last digits.
    """
    chunk = len(features) if features.shape[1] == 1 and not radius else CHUNK // models.shape[-1]
    aligned = labels.shape[2] < WIDE or labels.shape[2] % ALIGNED > 0 or min(widths[1:]) < ALIGNED
    parts = partial(layers_of, widths=widths)
    return summed(models, features.flatten(3), labels, rate, chunk, parts, propagated, aligned=aligned, radius=radius)


def gradients(models: Tensor, features: Tensor, labels: Tensor, widths: Sequence[int]) -> Tensor:
    """The gradients of the mean cross-entropy of k models, each on its samples; autograd can differentiate them once.

    Formula: with a the inputs of a layer with the weights W and biases b, and D the derivative by its outputs, the
    gradients are ``D' a`` and the column sums of D. D is ``(softmax - one-hot) / m`` at the logits, and
    ``(D W) [a > 0]`` one layer before. The derivative of the gradient in the direction V, as the Hessian is symmetric
    also what autograd asks for, is the same pass with the derivatives of all these quantities beside them (Pearlmutter,
    Fast exact multiplication by the Hessian, Neural Computation 1994).

    Shapes: models [k, d] with every layer's weights and then its biases, features [k, m, ...], labels [k, m]; `widths`
    are those of :func:`widths_of`. The result is [k, d].

    Cost: three products of the size of the forward pass, and six for the derivative.
    """
    apply: Callable[..., Tensor] = _Gradients.apply  # torch does not say what it takes
    return apply(models, features.flatten(2), labels, tuple(widths))


class _Gradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, models: Tensor, features: Tensor, labels: Tensor, widths: tuple[int, ...]) -> Tensor:
        found = torch.empty_like(models, memory_format=torch.contiguous_format)
        likely, inputs, slopes = propagated(
            layers_of(models, widths), features, labels, layers_of(found, widths), labels.shape[1]
        )
        ctx.save_for_backward(models, likely, *inputs, *slopes)
        ctx.widths = widths
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor, None, None, None]:
        models, likely, *kept = ctx.saved_tensors
        widths: tuple[int, ...] = ctx.widths
        depth = len(widths) - 1
        inputs, slopes = kept[:depth], kept[depth:]
        layers, pushes = layers_of(models, widths), layers_of(along, widths)
        found = torch.empty_like(models, memory_format=torch.contiguous_format)
        changes = [torch.empty_like(slope) for slope in slopes]
        pushed(layers, pushes, likely, inputs, slopes, layers_of(found, widths), changes)
        return found, None, None, None


def propagated(
    layers: Layers, features: Tensor, labels: Tensor, found: Layers, samples: int
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Write the gradients of the mean cross-entropy into `found`; features are [k, m, inputs], labels [k, m].

    The first of the samples count, as many as `samples` says.

    Returns the probabilities [k, classes, m], the inputs of each layer, and the derivatives by its outputs. Samples are
    columns there: a soft-max over the rows of [classes, m] takes a tenth of one over [m, classes].
    """
    inputs, reached = passed(layers, features.mT)
    likely = reached.softmax(dim=1)
    slope = likely / samples
    slope.scatter_add_(1, labels[:, None], slope.new_full((), -1 / samples).expand(len(labels), 1, labels.shape[1]))
    if samples < labels.shape[1]:
        slope[..., samples:] = 0
    return likely, inputs, sent_back(layers, inputs, slope, found)


def passed(layers: Layers, features: Tensor, outputs: Sequence[Tensor] | None = None) -> tuple[list[Tensor], Tensor]:
    """The inputs of each layer and the logits for features [k, inputs, m], written into `outputs` if there are any."""
    inputs, reached = [], features
    for place, (weights, biases) in enumerate(layers):
        inputs.append(reached.relu_() if place else reached)
        reached = torch.baddbmm(biases, weights, inputs[place], out=None if outputs is None else outputs[place])
    return inputs, reached


def sent_back(
    layers: Layers, inputs: Sequence[Tensor], slope: Tensor, found: Layers, slopes: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Write the gradients into `found`, where `slope` [k, classes, m] is the derivative by the logits.

    Returns the derivatives by the outputs of each layer, written into `slopes` if there are any.
    """
    derived = [slope]
    for place, (weights, biases) in reversed(list(enumerate(found))):
        torch.bmm(slope, inputs[place].mT, out=weights)
        torch.sum(slope, dim=2, keepdim=True, out=biases)
        if place:
            slope = torch.bmm(layers[place][0].mT, slope, out=None if slopes is None else slopes[place - 1])
            derived.insert(0, _gated(slope, inputs[place]))
    return derived


def pushed(
    layers: Layers,
    pushes: Layers,
    likely: Tensor,
    inputs: Sequence[Tensor],
    slopes: Sequence[Tensor],
    found: Layers,
    changes: Sequence[Tensor],
) -> None:
    """Write into `found` the derivative of the gradients when the layers move along `pushes`.

    The probabilities, inputs and slopes are those of :func:`propagated`; `changes` are room for as much as the slopes.
    """
    for place, (weights, biases) in enumerate(pushes):
        change = torch.baddbmm(biases, weights, inputs[place], out=changes[place])
        if place:
            change.baddbmm_(layers[place][0], changes[place - 1])
        if place + 1 < len(pushes):
            _gated(change, inputs[place + 1])  # so that `changes` are those of the inputs of the next layer
    change.sub_((likely * change).sum(dim=1, keepdim=True)).mul_(likely).div_(likely.shape[2])
    for place, (weights, biases) in reversed(list(enumerate(found))):
        torch.bmm(change, inputs[place].mT, out=weights)
        torch.sum(change, dim=2, keepdim=True, out=biases)
        if place:
            before = changes[place - 1]
            weights.baddbmm_(slopes[place], before.mT)
            change = torch.bmm(layers[place][0].mT, change, out=before)  # the last one is not needed any more
            _gated(change.baddbmm_(pushes[place][0].mT, slopes[place]), inputs[place])


def _gated(slope: Tensor, reached: Tensor) -> Tensor:
    """What a ReLU with the outputs `reached` lets through of a derivative, in its place."""
    found: Tensor = torch.ops.aten.threshold_backward.grad_input(slope, reached, 0, grad_input=slope)
    return found


def layers_of(flat: Tensor, widths: Sequence[int]) -> Layers:
    """The weights [k, out, in] and the biases [k, out, 1] of each layer in vectors [k, d], as views.

    A single vector has layers that are contiguous, as torch multiplies them by another routine.
    """
    k, (row, column), found = len(flat), flat.stride(), []
    start = flat.storage_offset()
    for inputs, outputs in pairwise(widths):
        end = start + inputs * outputs * column
        own, biases = (end - start, outputs * column) if k == 1 else (row, row)
        weights = flat.as_strided((k, outputs, inputs), (own, inputs * column, column), start)
        found.append((weights, flat.as_strided((k, outputs, 1), (biases, column, column), end)))
        start = end + outputs * column
    return found
