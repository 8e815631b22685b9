"""What a message is: the contract of channels.

A channel knows how clients turn what they computed into messages, how the adversary crafts messages of this kind, how a
defense is asked about them, and how an answer moves a model. It does not know who takes part, who owns a model, or who
watches: those are the topology and the observers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from robustfl.aggregation import Aggregation
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.round import Ids, Lesson, Receiver, Round, ServerModel
from robustfl.federation.setup import Setup
from robustfl.federation.transforms import Transform

if TYPE_CHECKING:
    from torch import Tensor


class Channel(ABC):
    """One kind of message.

    Parameters
    ----------
    setup : the fixed part of the simulation
    work : what clients compute
    defense : the defense whose channel it is; receivers may have copies of it
    transforms : what happens to messages between client and defense
    """

    name: ClassVar[str]
    """What :attr:`robustfl.aggregation.Defense.channel` calls it."""
    scales: ClassVar[bool] = True
    """Whether messages are vectors that can be multiplied by a number, such as a staleness weight."""

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        self.setup, self.work, self.defense, self.transforms = setup, work, defense, tuple(transforms)

    @abstractmethod
    def model(self) -> ServerModel:
        """A model as it is before the first round; every owner of a model gets one of its own."""

    @abstractmethod
    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        """What clients make of their batches in round `number`: models [d] or [k, d] -> messages [k, m].

        The answer depends on nothing but the arguments: it may be asked for again with other labels.
        """

    def remembered(self, messages: Tensor, ids: Ids) -> Tensor:
        """What becomes of messages [k, m] through what these members remember of earlier rounds, such as momentum."""
        return messages

    def wants_own(self, number: int) -> bool:
        """Whether it matters what malicious members would send honestly, now or later through what they remember."""
        return True

    @abstractmethod
    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        """The malicious messages [f, m] for a receiver that hears the honest `messages` [h, m].

        None where there is no attack on messages of this kind: malicious members then send their own ones.
        """

    @abstractmethod
    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        """The answer of a receiver's defense to these messages [k, m]; a preview has no effect on its state.

        Raises InfeasibleError as the defense does.
        """

    @abstractmethod
    def vector(self, answer: Aggregation) -> Tensor:
        """The answer of a defense as one vector, as :meth:`ServerModel.step` takes it."""

    @abstractmethod
    def message_bytes(self) -> tuple[float, float]:
        """Bytes that a client sends, and gets, in a round."""

    def compute(self, round: Round, models: Callable[[Round, Ids], Tensor]) -> None:
        """Fill in the lesson of a round, the honest messages and, where anybody wants to know, the malicious ones' own.

        `models(round, ids)` are the models [d] or [k, d] from which members start.
        """
        malicious, honest = round.malicious, round.honest
        apart = self.work.apart(round)
        wanted = len(malicious) > 0 and not apart and (len(honest) == 0 or self.wants_own(round.number))
        asked = np.concatenate([malicious, honest]) if wanted else honest
        lesson = round.lesson = self.work.lesson(round.number, asked, dirty=wanted)
        round.models = models(round, lesson.ids)
        messages = self.remembered(self.messages(round.models, lesson, round.number), lesson.ids)
        round.computed = messages
        if len(lesson.place) > len(lesson.ids):  # identities that send one update
            messages = messages[torch.as_tensor(lesson.place, device=messages.device)]
        split = len(malicious) if wanted else 0
        round.own, round.messages = (messages[:split] if wanted else None), messages[split:]
        if apart:
            round.own = self.work.attackers_messages(round, round.receivers[0].model).to(messages)

    def trusted(self, model: ServerModel, number: int) -> Tensor | None:
        """What a receiver with this model would send [m] as a client with clean samples; None where nobody asks."""
        lesson = self.work.trusted_lesson()
        if lesson is None:
            return None
        return self.work.remembered_trusted(self.messages(model.state, lesson, number)[0])

    def craft(self, round: Round) -> None:
        """Fill in all messages that go to each receiver, malicious ones first."""
        for receiver in round.receivers:
            self._craft(round, receiver)

    def own_messages(self, round: Round, receiver: Receiver) -> Tensor:
        """What the malicious members that a receiver hears would send honestly, [f, m]."""
        assert round.own is not None, "computed whenever the attack declares to know it or pauses"
        return rows_of(round.own, round.malicious, receiver.malicious)

    def _craft(self, round: Round, receiver: Receiver) -> None:
        receiver.ids = np.concatenate([receiver.malicious, receiver.honest])
        messages = rows_of(round.sent, round.honest, receiver.honest)
        if not len(receiver.malicious):
            receiver.rows = messages
            return
        # Where chance samples nobody honest there is nothing to craft against: malicious members send their own.
        rows = self.crafted(round, receiver, messages) if len(receiver.honest) else None
        if rows is None:
            rows = self.own_messages(round, receiver)
        names = self.setup.members.names(receiver.malicious)
        for transform in self.transforms:
            rows = transform.crafted(rows, names, round)
        receiver.rows = torch.cat([rows, messages])


def rows_of(rows: Tensor, whose: Ids, wanted: Ids) -> Tensor:
    """Those rows [k, m] of the members `whose` [k] that belong to the members `wanted`; no copy if these are all."""
    if len(wanted) == len(whose):
        return rows
    return rows[torch.as_tensor(np.searchsorted(whose, wanted), device=rows.device)]
