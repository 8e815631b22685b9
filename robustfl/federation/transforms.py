"""What happens to messages between the client and the defense: the contract of transforms, and those of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.clients.participants import Members
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.settings import Server

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


class Transform:
    """Something that happens to messages on their way.

    A hook may be asked more than once in a round (an adversary may ask what clients would have sent with other labels),
    and in any order. A transform that draws random numbers therefore derives them from the round's number and from who
    sends, not from how often it was asked. The given tensors may only be read.
    """

    channels: ClassVar[tuple[str, ...] | None] = None
    """Channels whose messages it can be applied to; None for all. With others it is refused before anything runs."""

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        """What honest members `ids` [h] send instead of these messages [h, m]. Malicious members need not obey."""
        return messages

    def crafted(self, messages: Tensor, names: Ids, round: Round) -> Tensor:
        """What malicious members with these names [f] send instead of the messages [f, m] that they have crafted."""
        return messages

    def answered(self, receiver: Receiver, round: Round) -> Tensor | None:
        """What a receiver makes of its `aggregate` [m] before it moves its model; None where there is none."""
        return receiver.aggregate

    def shown(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        """What an observer of the network sees of the honest messages [h, m]: [s, m], such as sums of groups."""
        return messages


class StalenessWeights(Transform):
    """Multiplies honest messages by s(tau), where tau says how many steps old the model is that they come from.

    So an adversary that knows the honest messages sees them weighted, as the defense does. See
    :func:`staleness_weights` for s. It is for the channels that say that their messages can be multiplied by a number.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages * messages.new_tensor(staleness_weights(round.ages(ids), self._server))[:, None]


class Disguise(Transform):
    """Adds to malicious messages the lasting perturbation of the name under which each is sent."""

    channels = ("dense",)

    def __init__(self, members: Members) -> None:
        self._members = members

    def crafted(self, messages: Tensor, names: Ids, round: Round) -> Tensor:
        return self._members.disguised(messages, names)


def staleness_weights(ages: Ids, server: Server) -> Floats:
    """s(tau) of messages [k] whose models are `ages` steps old.

    With a the exponent and b the grace: `constant` 1; `polynomial` ``(1 + tau)^-a``; `hinge` 1 up to b, and
    ``1/(a (tau - b) + 1)`` above.
    """
    tau = ages.astype(np.float64)
    if server.staleness == "constant":
        return np.ones_like(tau)
    if server.staleness == "polynomial":
        return np.asarray((1.0 + tau) ** -server.staleness_exponent)
    beyond = np.maximum(tau - server.staleness_grace, 0.0)
    return np.asarray(1.0 / (server.staleness_exponent * beyond + 1.0))
