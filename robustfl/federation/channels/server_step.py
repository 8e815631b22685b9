"""The server's optimiser as a function from a model, an aggregate and a memory to a model and a memory.

In contrast to an optimiser that changes tensors in place, a function can be repeated, differentiated and tried out. The
server uses it for its own steps, and an attacker who plans ahead uses it for steps that it only imagines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from robustfl.federation.settings import Server
from robustfl.threats.updates.planning.replay import LinearStep, ReplayedStep

if TYPE_CHECKING:
    from torch import Tensor

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Memory(NamedTuple):
    """What the optimiser remembers: the number of its steps, and means [d] of gradients and of their squares."""

    steps: int = 0
    mean: Tensor | None = None
    square: Tensor | None = None


class ServerStep(ReplayedStep):
    """SGD with momentum, or Adam, against gradients or along differences.

    Formula: with g the aggregate of gradients, or minus the aggregate of differences, SGD is ``v <- mu v + g``,
    ``w <- w - eta v``; Adam is ``m <- .9 m + .1 g``, ``s <- .999 s + .001 g^2``,
    ``w <- w - eta m / (1 - .9^t) / (sqrt(s / (1 - .999^t)) + 1e-8)``. These are the steps of :mod:`torch.optim`.

    Reference: D. P. Kingma, J. Ba. Adam: A Method for Stochastic Optimization. ICLR 2015.
    """

    def __init__(self, server: Server, message: str) -> None:
        self._server, self._sign = server, 1.0 if message == "gradient" else -1.0

    def start(self, weights: Tensor) -> Memory:
        """The memory before the first step."""
        if self._server.optimizer == "adam":
            return Memory(0, weights.new_zeros(weights.shape), weights.new_zeros(weights.shape))
        return Memory()

    def __call__(self, weights: Tensor, aggregate: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """The model [d] and the memory after one step; the arguments stay as they are."""
        gradient = aggregate if self._sign > 0 else -aggregate
        rate, steps = self._server.learning_rate, memory.steps + 1
        if self._server.optimizer == "adam":
            assert memory.mean is not None
            assert memory.square is not None
            mean = memory.mean.lerp(gradient, 1 - _BETA1)
            square = (memory.square * _BETA2).addcmul(gradient, gradient, value=1 - _BETA2)
            root = square.sqrt() / math.sqrt(1 - _BETA2**steps) + _EPSILON
            return weights.addcdiv(mean, root, value=-rate / (1 - _BETA1**steps)), Memory(steps, mean, square)
        if self._server.momentum:
            gradient = gradient if memory.mean is None else memory.mean * self._server.momentum + gradient
        return weights.add(gradient, alpha=-rate), Memory(steps, gradient if self._server.momentum else None)

    def linear(self, memory: Memory) -> LinearStep | None:
        """The same step as a linear one, with its sign in the rate and in the velocity; None for Adam."""
        if self._server.optimizer == "adam":
            return None
        velocity = memory.mean if memory.mean is None else memory.mean * self._sign
        return LinearStep(self._server.learning_rate * self._sign, self._server.momentum, velocity)
