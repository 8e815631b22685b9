"""Clients that send old messages again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Replay(Fault):
    """Replay: clients send the message of some rounds ago instead of the one that they have just computed.

    Formula: in round t a client sends its message of round ``t - rounds``. It sends its new message when it has none of
    that round.

    Examples
    --------
    >>> from robustfl.attacks import Replay
    >>> str(Replay())
    'Replay(share=0.2, rounds=5)'
    """

    unfit: ClassVar[str] = (
        "for attackers who choose what to repeat: a client sends what it sent some rounds ago, whatever that was"
    )

    label_parameters: ClassVar[tuple[str, ...]] = ("share", "rounds")

    share: Annotated[
        float, Gt(0), Le(1), Doc("share of the clients to whom the fault happens, the same ones in all rounds")
    ] = 0.2
    rounds: Annotated[int, Ge(1), Doc("age of the message that is sent again, in rounds")] = 5

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        sent: dict[int, dict[int, Tensor]] = moment.memory.setdefault("sent", {})  # round -> client -> message
        sent[moment.number] = dict(zip(moment.ids.tolist(), messages.clone(), strict=True))
        old = sent.get(moment.number - self.rounds, {})
        for number in [number for number in sent if number <= moment.number - self.rounds]:
            del sent[number]
        result = messages.clone()
        for row, client in zip(result, moment.ids.tolist(), strict=True):
            row[:] = old.get(client, row)
        return result
