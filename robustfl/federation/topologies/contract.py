"""Who hears whom, and who owns a model: the contract of topologies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from robustfl.aggregation import Aggregation
from robustfl.errors import InfeasibleError
from robustfl.federation.channels.contract import Channel
from robustfl.federation.faults import told_apart
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.setup import Setup

if TYPE_CHECKING:
    from torch import Tensor


class Stopwatch(Protocol):
    """Measures the time of each phase."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Add the time of the block to the phase `name`."""


class Watch(Protocol):
    """Asks a receiver's defense, and watches how it behaves."""

    def ask(self, receiver: Receiver, round: Round) -> Aggregation:
        """The defense's answer to the rows that have arrived; raises InfeasibleError when the defense does."""


class Topology(ABC):
    """Decides who takes part in a round, from which models they start, who hears them, and which models move.

    Parameters
    ----------
    setup : the fixed part of the simulation
    channel : what a message is; it makes the models and knows how they move
    """

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self.setup, self.channel = setup, channel

    @abstractmethod
    def sample(self, number: int) -> Round:
        """Round `number` with the members who take part, and with the receivers of their messages."""

    @abstractmethod
    def models(self, round: Round, ids: Ids) -> Tensor:
        """The models from which these members start: one model [d] for all, or [k, d], one per member."""

    @abstractmethod
    def advance(self, round: Round) -> None:
        """Move the models by the answers of the receivers' defenses."""

    @abstractmethod
    def served(self) -> Tensor:
        """The weights that honest clients have: [1, d] of a common model, or [s, d] of each client's own."""

    def gather(self, round: Round, watch: Stopwatch) -> None:  # noqa: B027 - most topologies have receivers
        """What peers exchange before they compute; with receivers there is nothing to do here."""

    def exchange(self, round: Round, watch: Stopwatch) -> None:  # noqa: B027
        """What peers exchange once all have computed; with receivers there is nothing to do here."""

    def trust(self, round: Round, receiver: Receiver) -> None:
        """Give a receiver its trusted update, after all members have computed.

        By default the receiver computes it from its own clean samples.
        """
        receiver.trusted = self.channel.trusted(receiver.model, round.number)

    def downloaded(self) -> float | None:
        """The mean number of bytes that a client got in a round; None if the channel's number is right."""
        return None

    def aggregate(self, round: Round, watch: Watch) -> None:
        """Ask the defense of every receiver; a receiver with too few rows has no answer."""
        for receiver in round.receivers:
            receiver.names = self.setup.pseudonyms.of(told_apart(self.setup.members.names(receiver.ids).tolist()))
            if not len(receiver.ids):
                continue
            try:
                answer = watch.ask(receiver, round)
            except InfeasibleError as error:
                receiver.refused = error.rejected
                continue
            info = self.setup.pseudonyms.restored(answer.info)
            receiver.answer = Aggregation(answer.value, answer.weights, answer.rejected, info)
            receiver.aggregate = self.channel.vector(receiver.answer)
