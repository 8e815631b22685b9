"""What happens to messages between the client and the defense: the contract of transforms, and the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.client_side import ClientSide
from robustfl.federation.clients.participants import Members
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.settings import Server, Weights
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


class Transform:
    """Something that happens to messages on their way from the client to the defense.

    A hook may be called more than once in a round (an adversary may ask what clients would have sent with other
    labels), and in any order. A transform that draws random numbers must therefore derive them from the round's number
    and the sender, not from the number of calls. A hook must only read the tensors that it is given.
    """

    channels: ClassVar[tuple[str, ...] | None] = None
    """The channels to whose messages it can be applied; None for all. With other channels it is refused."""

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        """What honest members `ids` [h] send in place of the messages [h, m]. Malicious members need not obey."""
        return messages

    def crafted(self, messages: Tensor, names: Ids, round: Round) -> Tensor:
        """What malicious members with these names [f] send in place of the messages [f, m] that they have crafted."""
        return messages

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        """The messages [k, m] that a receiver's defense gets, in place of those that have arrived, and their senders.

        It is called once for each receiver of a round.
        """
        return receiver.arrived, receiver.ids

    def heard(self, messages: Tensor, round: Round) -> Tensor:
        """What a receiver makes of messages [k, m], row by row, before its defense sees them.

        An adversary that asks what the defense would answer gets the answer to these.
        """
        return messages

    def allows(self, number: int) -> bool:
        """Whether round `number` may be played; if not, the training ends before it."""
        return True

    def answered(self, receiver: Receiver, round: Round) -> Tensor | None:
        """The `aggregate` [m] of a receiver as it moves the model; None when the receiver has no aggregate."""
        return receiver.aggregate

    def shown(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        """What an observer of the network sees of the honest messages [h, m]: [s, m], for example sums over groups."""
        return messages


class StalenessWeights(Transform):
    """Multiplies each honest message by s(tau), where tau is the age, in steps, of the model that it was computed with.

    An adversary that knows the honest messages therefore sees them weighted, as the defense does. See
    :func:`staleness_weights` for s.
    Only channels whose messages can be multiplied by a number have such weights.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        assert isinstance(self._server.staleness, str)
        weights = staleness_weights(round.ages(ids), self._server, self._server.staleness)
        return messages * messages.new_tensor(weights)[:, None]


class ClientDefenses(Transform):
    """Changes the messages of honest clients as the defenses do that clients carry out; see :class:`ClientSide`.

    Each client draws from a stream of its own in every round, for every defense.
    """

    channels = ("dense", "rewards")

    def __init__(self, stages: Sequence[ClientSide], setup: Setup) -> None:
        self._stages, self._seed, self._shapes = tuple(stages), setup.seed, setup.population.shapes

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        for place, stage in enumerate(self._stages):
            purpose = f"client defense {place} in round {round.number}"
            rngs = [stream(self._seed, f"{purpose} for {member}") for member in ids.tolist()]
            messages = stage.message(messages, self._shapes, rngs)
        return messages


class Disguise(Transform):
    """Adds to each malicious message a perturbation that stays the same for the name under which it is sent."""

    channels = ("dense",)

    def __init__(self, members: Members) -> None:
        self._members = members

    def crafted(self, messages: Tensor, names: Ids, round: Round) -> Tensor:
        return self._members.disguised(messages, names)


def staleness_weights(ages: Ids, server: Server, kind: Weights) -> Floats:
    """The weights s(tau) of messages [k] that were computed with models of these `ages` [k] in steps.

    Formula: with the exponent a and the grace b, s is 1 for `constant`; ``(1 + tau)^-a`` for `polynomial`; and for
    `hinge` 1 up to b and ``1/(a (tau - b) + 1)`` above it.
    """
    tau = ages.astype(np.float64)
    if kind == "constant":
        return np.ones_like(tau)
    if kind == "polynomial":
        return np.asarray((1.0 + tau) ** -server.staleness_exponent)
    beyond = np.maximum(tau - server.staleness_grace, 0.0)
    return np.asarray(1.0 / (server.staleness_exponent * beyond + 1.0))
