"""Defenses that clients carry out themselves, before anything leaves them: the contract.

Such a defense stands in a pipeline like any other stage, so that a suite compares it as a defense and its costs show
against the undefended baseline of the same world. Its work is done where the data are: it may change the network's
gradients, what is minimised, or the finished message. The server's part of it is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.contracts import PreAggregation
from robustfl.aggregation.sensitivity import Change
from robustfl.aggregation.updates.rows import Rows
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from torch import Size, Tensor, nn

    Objective: TypeAlias = Callable[[dict[str, Tensor], Tensor, Tensor, Tensor | None], Tensor]
    """What a client minimises: (parameters by name, features [batch, ...], labels, draws) -> the loss, a scalar.

    Labels are classes [batch], or probabilities [batch, classes]. `draws` [batch, columns] holds the random numbers of
    the batch; without them nothing about the loss is random.
    """
    Shapes: TypeAlias = Mapping[str, Size]
    """The shapes of the model's tensors by name, in the order in which they lie in a message."""

Floats = NDArray[np.float64]

Scope = Literal["tensor", "message"]
"""Whether a defense treats each tensor of the model on its own, or a message as one."""


@dataclass(frozen=True, kw_only=True)
class ClientSide(PreAggregation):
    """A defense whose whole work is done by honest clients; malicious clients need not do it.

    A subclass overrides what it changes: `network`, `objective` or `message`. Clients apply `message` last, after their
    momentum. If it draws random numbers for its objective, `columns` says how many a sample, and `drawn` draws them.

    Where it stands in a pipeline makes no difference to clients, who go through these stages in their order and before
    the server does anything. It may not stand after a stage that mixes rows, because that would read as if the server
    could change what clients do.

    Raises
    ------
    ParameterError : a stage before this one has mixed the rows
    """

    family: ClassVar[str] = "client-side"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    breakdown: ClassVar[str] = "the breakdown point of the next rule"
    carried_out_by_clients: ClassVar[bool] = True
    columns: ClassVar[int] = 0
    plain_without_draws: ClassVar[bool] = False
    """Whether `objective` is the plain one wherever there are no random numbers."""

    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        if rows.mixing is not None:
            raise ParameterError(
                f"{self!r} is carried out by clients, but a stage before it has mixed their updates. "
                "Put it first in the pipeline."
            )
        return rows, None

    def carried(self, change: Change) -> Change:
        return change

    def drawn(self, rng: np.random.Generator, batch: int) -> Floats:
        """The random numbers [batch, columns] for one batch of one client."""
        return np.zeros((batch, self.columns))

    def network(self, network: nn.Module) -> nn.Module:
        """The network that clients differentiate in place of this one; it has the same parameters by name."""
        return network

    def objective(self, plain: Objective, classes: int) -> Objective:
        """What clients minimise in place of `plain`. It gets draws of which the first `columns` are its own."""
        return plain

    def message(self, messages: Tensor, shapes: Shapes, rngs: Sequence[np.random.Generator]) -> Tensor:
        """What clients send in place of the messages [k, d]; client i draws from `rngs[i]` alone."""
        return messages

    def imitated(self, guess: Tensor, message: Tensor, shapes: Shapes) -> Tensor:
        """The gradient [..., d] of an attacker's guess as it should be compared with the `message` [d] that it saw.

        An attacker who knows the defense matches this with the message in place of the plain gradient. It is
        differentiable in the guess. By default it is the guess itself: nothing is gained by knowing the defense.
        """
        return guess


def places(shapes: Shapes, scope: Scope = "tensor") -> dict[str, slice]:
    """The place of each tensor in a flat message; with the scope `message` the whole of it as one."""
    if scope == "message":
        return {"message": slice(0, sum(shape.numel() for shape in shapes.values()))}
    found, start = {}, 0
    for name, shape in shapes.items():
        found[name] = slice(start, start + shape.numel())
        start += shape.numel()
    return found
