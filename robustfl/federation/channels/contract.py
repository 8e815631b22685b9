"""What a message is: the contract of channels.

A channel knows how clients turn what they computed into messages, how the adversary crafts messages of this kind, how a
defense is asked about them, and how an answer moves a model. It does not know who takes part or who owns a model, which
the topology decides, nor who watches, which the observers do.
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
from robustfl.threats.updates.view import Relabelling

if TYPE_CHECKING:
    from torch import Tensor


class Channel(ABC):
    """One kind of message.

    Parameters
    ----------
    setup : the fixed part of the simulation
    work : what clients compute
    defense : the defense that speaks this channel; receivers may have copies of it
    transforms : change messages between client and defense
    """

    name: ClassVar[str]
    """The name of the channel in :attr:`robustfl.aggregation.Defense.channel`."""
    scales: ClassVar[bool] = True
    """Whether messages are vectors that can be multiplied by a number, such as a staleness weight."""

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        self.setup, self.work, self.defense, self.transforms = setup, work, defense, tuple(transforms)

    @abstractmethod
    def model(self) -> ServerModel:
        """Make a model as it is before the first round; every owner of a model gets a model of its own."""

    @abstractmethod
    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        """The messages that clients compute from their batches in round `number`: [d] or [k, d] -> [k, m].

        The answer depends on the arguments alone, because it may be asked for again with other labels.
        """

    def computed(self, round: Round, models: Tensor, lesson: Lesson) -> Tensor:
        """The messages [k, m] of a round's lesson; a channel may note in the round what else members have computed."""
        return self.messages(models, lesson, round.number)

    def admissible(self, rows: Tensor) -> Tensor:
        """The messages [k, m] of this channel that are nearest to some rows: the rows, where any vector is a message.

        Rows that are not finite stay as they are.
        """
        return rows

    def no_messages(self) -> Tensor:
        """The messages [0, m] of a round in which nobody takes part."""
        return self.setup.population.initial.new_zeros((0, self.setup.population.d))

    def imitated(self, copies: Tensor, messages: Tensor, number: int) -> Tensor | None:
        """What somebody who sees clients' messages [k, m] makes of copies [k, d] of their models.

        None where clients start from models that whoever sees their messages knows. No client takes part in this: it is
        for those who watch, see :mod:`robustfl.federation.spying`.
        """
        return None

    def remembered(self, messages: Tensor, ids: Ids) -> Tensor:
        """The messages [k, m] after what these members remember of earlier rounds, such as momentum, is applied."""
        return messages

    def wants_own(self, number: int) -> bool:
        """Whether anything depends on the messages that malicious members would send if they were honest.

        They matter in this round, or in a later one through what the members remember.
        """
        return True

    @abstractmethod
    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        """The malicious messages [f, m] for a receiver that hears the honest `messages` [h, m].

        None when there is no attack on messages of this kind; malicious members then send their honest messages.
        """

    @abstractmethod
    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        """The answer of a receiver's defense to these messages [k, m]; a preview has no effect on its state.

        Raises InfeasibleError when the defense does.
        """

    @abstractmethod
    def vector(self, answer: Aggregation) -> Tensor:
        """The answer of a defense as one vector, as :meth:`ServerModel.step` takes it."""

    @abstractmethod
    def message_bytes(self) -> tuple[float, float]:
        """The bytes that a client sends, and gets, in a round."""

    def compute(self, round: Round, models: Callable[[Round, Ids], Tensor]) -> None:
        """Fill in the lesson of a round, the honest messages and, where they are needed, the malicious members' own.

        `models(round, ids)` returns the models [d] or [k, d] from which members start.
        """
        malicious, honest = round.malicious, round.honest
        apart = self.work.apart(round)
        wanted = len(malicious) > 0 and not apart and (len(honest) == 0 or self.wants_own(round.number))
        asked = np.concatenate([malicious, honest]) if wanted else honest
        lesson = round.lesson = self.work.lesson(round.number, asked, dirty=wanted)
        round.models = models(round, lesson.ids)
        if not len(malicious) + len(honest):  # chance has drawn nobody
            round.computed = round.messages = self.no_messages()
            return
        messages = self.remembered(self.computed(round, round.models, lesson), lesson.ids)
        round.computed = messages
        if len(lesson.place) > len(lesson.ids):  # some identities share one update
            messages = messages[torch.as_tensor(lesson.place, device=messages.device)]
        split = len(malicious) if wanted else 0
        round.own, round.messages = (messages[:split] if wanted else None), messages[split:]
        if apart:
            round.own = self.work.attackers_messages(round, round.receivers[0].model).to(messages)

    def trusted(self, model: ServerModel, number: int) -> Tensor | None:
        """The message [m] that a receiver with this model computes from its own clean samples, as a client would.

        None when the defense wants no such message.
        """
        lesson = self.work.trusted_lesson()
        if lesson is None:
            return None
        return self.work.remembered_trusted(self.messages(model.state, lesson, number)[0])

    def relabelled(self, round: Round, receiver: Receiver, change: Relabelling) -> Tensor:
        """The messages [h, m], without what members remember, that honest members would have sent with other labels.

        Raises AttackError when `change` returns something that is not labels.
        """
        models, lesson = self.work.relabelled(round, change)
        messages = self.messages(models, lesson, round.number)
        for transform in self.transforms:
            messages = transform.sent(messages, round.honest, round)
        return rows_of(messages, round.honest, receiver.honest)

    def craft(self, round: Round) -> None:
        """Fill in all messages that go to each receiver; the malicious messages come first."""
        for receiver in round.receivers:
            self._craft(round, receiver)

    def own_messages(self, round: Round, receiver: Receiver) -> Tensor:
        """The messages [f, m] that the malicious members whom a receiver hears would send if they were honest."""
        assert round.own is not None, "computed whenever the attack declares to know it or pauses"
        return rows_of(round.own, round.malicious, receiver.malicious)

    def _craft(self, round: Round, receiver: Receiver) -> None:
        receiver.ids = np.concatenate([receiver.malicious, receiver.honest])
        messages = rows_of(round.sent, round.honest, receiver.honest)
        if not len(receiver.malicious):
            receiver.rows = messages
            return
        # When chance samples no honest member, there is nothing to craft against: malicious members send their own.
        rows = self.crafted(round, receiver, messages) if len(receiver.honest) else None
        if rows is None:
            rows = self.own_messages(round, receiver)
        names = self.setup.members.names(receiver.malicious)
        for transform in self.transforms:
            rows = transform.crafted(rows, names, round)
        receiver.rows = torch.cat([rows, messages])


def rows_of(rows: Tensor, whose: Ids, wanted: Ids) -> Tensor:
    """The rows of the members `wanted` among the rows [k, m] of the members `whose` [k]; no copy if all are wanted."""
    if len(wanted) == len(whose):
        return rows
    return rows[torch.as_tensor(np.searchsorted(whose, wanted), device=rows.device)]
