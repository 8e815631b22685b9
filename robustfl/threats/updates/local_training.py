"""Attackers that train in a way of their own: what they begin with, and the contract of what they do in each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats.knowledge import Knowledge, Message, View
from robustfl.threats.updates.contract import UpdateAttack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class Start:
    """What the attackers of a round know when they begin to train.

    Attributes
    ----------
    round, steps : number of the round, and of the local steps to come
    rate : of the local steps
    weights : [d] the global model
    previous_aggregate : [d] what the defense answered one round earlier, in the sense of messages; None in the first
    layers : places of the model's tensors in a vector [d]
    reach : how far along a change [d] the server moves when everybody sends it; 1: to its end
    message : the message convention
    clean_gradient : makes the gradient [d] of the loss on the attackers' clean samples at `weights`
    memory : kept until the end of the round
    """

    round: int
    steps: int
    rate: float
    weights: Tensor
    previous_aggregate: Tensor | None
    layers: tuple[slice, ...]
    reach: float
    message: Message
    clean_gradient: Callable[[], Tensor]
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LocalAttack(UpdateAttack):
    """Malicious clients train on their data (poisoned, if a poisoning stands before this) under the attack's control.

    They begin at the global model, without momentum, augmentation or adversarial training. Where they end, less where
    they began, is their change; their message is what an honest client with that change would send.
    """

    channels: ClassVar[tuple[str, ...] | None] = ("dense",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.HISTORY

    local_steps: Annotated[int | None, Ge(1), Doc("attackers' local steps; those of the federation when not given")] = (
        None
    )
    learning_rate: Annotated[
        float | None, Gt(0), Doc("attackers' step; the clients' (fedavg) or the server's (fedsgd) when not given")
    ] = None

    def steps(self, federation: int) -> int:
        """The attackers' local steps, where honest clients take `federation`."""
        return federation if self.local_steps is None else self.local_steps

    def poisons(self, step: int) -> bool:
        """Whether the local step (from 0) learns from poisoned data."""
        return True

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        """The changes [f, d] after a local step with these gradients [f, d] at `weights + change`."""
        return change - start.rate * gradient

    def finish(self, change: Tensor, start: Start) -> Tensor:
        """The changes [f, d] that the attackers' own messages stand for, when training has ended."""
        return change

    def craft(self, view: View) -> Tensor:
        """Their own messages as they are."""
        return view.own.clone()


def within(change: Tensor, radius: float, norm: Literal["l2", "linf"] = "l2") -> Tensor:
    """Each row [f, d] at its nearest point of the ball around zero."""
    if norm == "linf":
        return change.clamp(-radius, radius)
    factors: Tensor = radius / change.norm(dim=1, keepdim=True).clamp_min(radius)
    return change * factors
