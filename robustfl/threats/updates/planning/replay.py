"""What a federation may offer to attackers who plan ahead: functions whose derivatives are written out.

A roll-out through such parts needs no autograd, which for small networks takes longer than the arithmetic. They are
found by what the functions of a :class:`~robustfl.threats.updates.view.Training` are: a function in their place, such
as one that looks on, offers nothing, and is differentiated by autograd.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Pulled = Callable[["Tensor"], "Tensor"]
"""From a derivative by the logits [m, classes] of a model to that by the model [d]."""


class Replay(ABC):
    """The updates of k models on the same samples, at several places, of which enough is kept to differentiate them.

    The tensors belong to the replay, and are written again and again.

    Attributes
    ----------
    models : [k, d] for each place and for one more; whoever asks for an update writes them first
    along : [k, d], a derivative by the updates; whoever asks what it is by the models writes it first
    """

    models: Sequence[Tensor]
    along: Tensor

    @abstractmethod
    def learn(self, place: int) -> Tensor:
        """The updates [k, d] of the models at a place; they last until the next question."""

    @abstractmethod
    def pull(self, place: int) -> Tensor:
        """The derivative [k, d] by the models at a place that have learnt; it lasts until the next question."""


class ReplayedUpdate(ABC):
    """The `update` of a training that can also be replayed."""

    @abstractmethod
    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """What honest clients send; see :class:`~robustfl.threats.updates.view.Training`."""

    @abstractmethod
    def replay(self, features: Tensor, labels: Tensor, plans: int, places: int) -> Replay | None:
        """The updates of so many models on samples [m, ...] with labels [m], or None if only autograd knows them.

        The updates are those of the call to the last bit, and so are the derivatives those of autograd.
        """


class LinearStep(NamedTuple):
    """A step of the server that is linear: ``v <- momentum v + answer``, ``w <- w - rate v``.

    `velocity` is v before the step, None before the first one.
    """

    rate: float
    momentum: float
    velocity: Tensor | None


class ReplayedStep(ABC):
    """The `step` of a training that knows whether it is linear."""

    @abstractmethod
    def __call__(self, weights: Tensor, aggregate: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """A step of the server; see :class:`~robustfl.threats.updates.view.Training`."""

    @abstractmethod
    def linear(self, memory: Any) -> LinearStep | None:
        """The same step as a linear one, or None if it is not linear."""


class ReplayedPrediction(ABC):
    """The `predict` of a training that also knows its derivative."""

    @abstractmethod
    def __call__(self, weights: Tensor, features: Tensor) -> Tensor:
        """Logits; see :class:`~robustfl.threats.updates.view.Training`."""

    @abstractmethod
    def sloped(self, weights: Tensor, features: Tensor) -> tuple[Tensor, Pulled] | None:
        """The logits [m, classes] of one model [d], and their derivative; None if only autograd knows it.

        The logits are those of the call to the last bit, and so is the derivative that of autograd.
        """
