"""Attacks whose malicious clients train in their own way: what they start from, and what they do in each step."""

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
    """What the malicious clients of a round know when they start to train.

    Attributes
    ----------
    round : number of the round, counted from 0
    steps : number of local steps that each malicious client will take
    rate : learning rate of the local steps
    weights : the global model [d]
    previous_aggregate : the defense's answer [d] one round earlier, in the convention of `message`; None in the first
    layers : the slices of the model's tensors in a vector [d]
    reach : share of a change [d] by which the server moves the model when all clients send this change
    message : whether clients send model differences or gradients
    clean_gradient : makes the gradient [d] of the loss on the malicious clients' clean samples at `weights`
    memory : a dictionary that is kept until the end of the round
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
    """Malicious clients train under the attack's control, on data that are poisoned when a poisoning stands before it.

    They start at the global model, and train without momentum, augmentation or adversarial training. Their change is
    the model at the end minus the model at the start. They send what an honest client with this change would send.
    """

    channels: ClassVar[tuple[str, ...] | None] = ("dense",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.HISTORY

    local_steps: Annotated[
        int | None, Ge(1), Doc("malicious clients' number of local steps; that of honest clients when not given")
    ] = None
    learning_rate: Annotated[
        float | None,
        Gt(0),
        Doc("malicious clients' learning rate; the clients' (fedavg) or the server's (fedsgd) when not given"),
    ] = None

    def steps(self, federation: int) -> int:
        """The malicious clients' number of local steps when honest clients take `federation` steps."""
        return federation if self.local_steps is None else self.local_steps

    def poisons(self, step: int) -> bool:
        """Whether the local step with this number, counted from 0, uses poisoned data."""
        return True

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        """The changes [f, d] after a local step, given the gradients [f, d] at `weights + change`."""
        return change - start.rate * gradient

    def finish(self, change: Tensor, start: Start) -> Tensor:
        """The changes [f, d] that the malicious clients send, given their changes at the end of training."""
        return change

    def craft(self, view: View) -> Tensor:
        """The malicious clients' own updates, unchanged."""
        return view.own.clone()


def within(change: Tensor, radius: float, norm: Literal["l2", "linf"] = "l2") -> Tensor:
    """The nearest point to each row [f, d] in the ball of this radius around zero."""
    if norm == "linf":
        return change.clamp(-radius, radius)
    factors: Tensor = radius / change.norm(dim=1, keepdim=True).clamp_min(radius)
    return change * factors
