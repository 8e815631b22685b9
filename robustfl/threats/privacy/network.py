"""The network that clients train, with its loss, as functions of flat weights that torch can differentiate.

>>> import torch
>>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)), (1, 2, 2), classes=3)
>>> network.d
15
>>> x, y = torch.ones(1, 2, 1, 2, 2), torch.tensor([[0, 2]])
>>> network.gradients(torch.zeros(1, 15), x, y)[0, -3:]
tensor([-0.1667,  0.3333, -0.1667])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from robustfl.errors import ParameterError
from robustfl.privacy.membership import confidence
from robustfl.privacy.pairs import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

_PIECE = 4096
"""The number of samples in one forward pass."""


@dataclass(frozen=True)
class Linear:
    """The places of the weight [m, n] and the bias [m] of a linear layer in a flat vector [d]."""

    weight: slice
    bias: slice
    outputs: int
    inputs: int

    def of(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """The weight [..., m, n] and the bias [..., m] in vectors [..., d]."""
        weight = flat[..., self.weight].reshape(*flat.shape[:-1], self.outputs, self.inputs)
        return weight, flat[..., self.bias]


class Network:
    """A network and the mean cross-entropy of its batches.

    Parameters
    ----------
    module : maps [b, *shape] to logits [b, classes], without state and without chance
    shape : the shape of one sample
    classes : the number of classes, C
    """

    def __init__(self, module: nn.Module, shape: tuple[int, ...], classes: int) -> None:
        self.module, self.shape, self.classes = module, tuple(shape), classes
        self.shapes = {name: parameter.shape for name, parameter in module.named_parameters()}

    @property
    def d(self) -> int:
        """The number of parameters."""
        return sum(shape.numel() for shape in self.shapes.values())

    @cached_property
    def places(self) -> dict[str, slice]:
        """The place of each parameter in a flat vector."""
        found, start = {}, 0
        for name, shape in self.shapes.items():
            found[name] = slice(start, start := start + shape.numel())
        return found

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector [..., d] as named parameters [..., *shape], without a copy."""
        parts = ((name, flat[..., place]) for name, place in self.places.items())
        return {name: part.reshape(*flat.shape[:-1], *self.shapes[name]) for name, part in parts}

    def logits(self, weights: Tensor, features: Tensor) -> Tensor:
        """The logits of one model for samples, or of k models for samples of each.

        Shapes: [d], [b, *shape] -> [b, C]; [k, d], [k, b, *shape] -> [k, b, C].
        """

        def alone(model: Tensor, samples: Tensor) -> Any:
            return functional_call(self.module, self.named(model), (samples,))

        found: Tensor = alone(weights, features) if weights.ndim == 1 else vmap(alone)(weights, features)
        return found

    def losses(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy [k, b] of samples [k, b, *shape], for models [k, d] and labels [k, b] or [k, b, C]."""
        logits = self.logits(weights, features)
        flat = cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1), reduction="none")
        return flat.reshape(labels.shape[:2])

    def gradients(self, weights: Tensor, features: Tensor, labels: Tensor, *, traced: bool = False) -> Tensor:
        """The gradients of the mean cross-entropy of k batches, each for its own model.

        With `traced` the result can be differentiated in `weights`, `features` and probabilities.

        Shapes: [k, d], [k, b, *shape], labels [k, b] or probabilities [k, b, C] -> [k, d].

        Cost: one forward and one backward pass over all batches together.

        Raises ParameterError for a network that trains otherwise than it answers, as with batch normalisation.
        """
        if getattr(self.module, "normalises", False):
            raise ParameterError(
                "Spies and virtual data imitate gradients of networks without batch normalisation alone. Use GroupNorm."
            )
        with torch.enable_grad():
            leaf = weights if traced and weights.requires_grad else weights.detach().requires_grad_()
            total = self.losses(leaf, features, labels).sum() / labels.shape[1]
            (found,) = torch.autograd.grad(total, leaf, create_graph=traced)
        return found

    def update(self, weights: Tensor, features: Tensor, labels: Tensor, rate: float, *, traced: bool = False) -> Tensor:
        """The mean gradients over the local steps of k clients, each from its own model, as clients compute them.

        Formula: ``g_s`` is the gradient at ``w - rate (g_1 + ... + g_{s-1})``, and the answer is the mean of all T.

        Shapes: [k, d], [k, T, b, *shape], labels [k, T, b] or probabilities [k, T, b, C] -> [k, d].
        """
        total = self.gradients(weights, features[:, 0], labels[:, 0], traced=traced)
        for step in range(1, features.shape[1]):
            local = weights - rate * total
            total = total + self.gradients(local, features[:, step], labels[:, step], traced=traced)
        return total / features.shape[1]

    def confidences(self, weights: Tensor, features: Tensor, labels: Tensor) -> FloatArray:
        """How sure a model is of the labels of samples: :func:`robustfl.privacy.confidence` of its logits.

        Shapes: [d], [m, *shape], [m] -> [m]. Cost: one forward pass in pieces, without gradients.
        """
        with torch.no_grad():
            logits = [self.logits(weights, part).double().cpu().numpy() for part in torch.split(features, _PIECE)]
        return confidence(np.concatenate(logits), labels.cpu().numpy())

    @cached_property
    def first(self) -> Linear | None:
        """The first layer, if it is linear with a bias and is handed the features of a sample as they are."""
        name, layer, given, _ = self._walk[0]
        return self._linear(name, layer) if torch.equal(given.flatten(), self._probe.flatten()) else None

    @cached_property
    def last(self) -> Linear | None:
        """The last layer, if it is linear, has a bias and answers the logits; else None."""
        name, layer, _, answered = self._walk[-1]
        with torch.no_grad():
            logits = self.module(self._probe)
        return self._linear(name, layer) if torch.equal(answered, logits) else None

    def last_inputs(self, model: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer is given, [b, h], and the logits [b, C], for one model [d] and samples [b, *shape]."""
        layer = self._walk[-1][1]
        heard: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
        try:
            with torch.no_grad():
                logits = self.logits(model, features)
        finally:
            hook.remove()
        return heard[0], logits

    def _linear(self, name: str, layer: nn.Module) -> Linear | None:
        if not isinstance(layer, torch.nn.Linear) or layer.bias is None:
            return None
        weight, bias = (f"{name}.{part}" if name else part for part in ("weight", "bias"))
        return Linear(self.places[weight], self.places[bias], layer.out_features, layer.in_features)

    @cached_property
    def _probe(self) -> Tensor:
        """One sample [1, *shape] whose features all differ."""
        like = next(self.module.parameters())
        return torch.linspace(0, 1, math.prod(self.shape), device=like.device, dtype=like.dtype).reshape(1, *self.shape)

    @cached_property
    def _walk(self) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
        """The layers with parameters in the order in which a sample passes them: what each is given, and answers."""
        passed: list[tuple[str, nn.Module, Tensor, Tensor]] = []

        def hear(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            return lambda layer, given, answered: passed.append((name, layer, given[0], answered))

        hooks = [
            module.register_forward_hook(hear(name))
            for name, module in self.module.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        ]
        try:
            with torch.no_grad():
                self.module(self._probe)
        finally:
            for hook in hooks:
                hook.remove()
        return passed
