"""Messages that are samples: each client sends a few synthetic ones, and the server trains on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from robustfl.errors import ParameterError
from robustfl.federation.channels.dense import Dense
from robustfl.federation.clients.virtual import VirtualSamples
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.round import Lesson, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.transforms import Transform
from robustfl.threats import Facts
from robustfl.threats.updates.view import finite_rows

if TYPE_CHECKING:
    from torch import Tensor


class VirtualDataChannel(Dense):
    """Virtual samples [m, ...] with labels [m]: what clients send in place of updates.

    A client trains on its own samples as always. Then it makes the virtual samples whose training comes nearest to that
    (:class:`~robustfl.federation.clients.virtual.VirtualSamples`), and sends these alone. The server computes the local
    steps again, from the same model, on the samples of each client; these updates [d] are the rows of its rule. So the
    server trains on the union of all virtual samples, behind the filter that the rule is: with a mean and one local
    step, its step is that of the union.

    Whatever an attack on updates crafts, its clients can send samples alone: those of which the update comes nearest to
    what was crafted, with labels of all classes in turn. That is also so in the questions that the attack asks the
    defense, which makes it adaptive. Rows that are not finite stand for samples that are not.

    Samples are private in the sense of no theorem: they can be looked at, and their update can be inverted as any.

    Shapes: rows of the rule are [k, d], samples are [k, m, ...].

    Raises
    ------
    ParameterError : the settings do not say how clients make virtual data
    """

    name: ClassVar[str] = "virtual_data"
    scales: ClassVar[bool] = False

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        super().__init__(setup, work, defense, transforms)
        if setup.settings.virtual_data is None:
            raise ParameterError("The rounds of the channel 'virtual_data' need settings of `virtual_data`.")
        self.virtual = VirtualSamples(setup.population, setup.settings)

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        return self._sent(models, lesson, number)[0]

    def computed(self, round: Round, models: Tensor, lesson: Lesson) -> Tensor:
        messages, round.virtual = self._sent(models, lesson, round.number)
        return messages

    def _sent(self, models: Tensor, lesson: Lesson, number: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The updates [k, d] that clients' virtual samples give, and these samples with their labels."""
        wanted = self.work.gradients(models, lesson) / self.setup.settings.local_steps
        labels = self.virtual.proportional_labels(lesson.labels)
        rngs = [stream(self.setup.seed, f"virtual data {number} {member}") for member in lesson.ids.tolist()]
        begun = models.expand_as(wanted)
        samples = self.virtual.made(begun, wanted, labels, rngs)
        return self._heard(begun, samples, labels), (samples, labels)

    def _heard(self, models: Tensor, samples: Tensor, labels: Tensor) -> Tensor:
        """What a server with these models [k, d] makes of samples: the updates [k, d] in the form of messages."""
        return self.as_messages(self.virtual.updates(models, samples, labels) * self.setup.settings.local_steps)

    def sendable(self, rows: Tensor, model: Tensor, number: int) -> Tensor:
        """The updates [k, d] of samples that come nearest to rows [k, d] in round `number`, from a model [d].

        Rows that are not finite stay as they are. Equal rows have the same answer, and are searched for once.
        """
        answer = rows.clone()
        finite = finite_rows(rows)
        if not bool(finite.any()):
            return answer
        distinct, places = torch.unique(rows[finite], dim=0, return_inverse=True)
        settings = self.setup.settings
        unit = -settings.local_learning_rate * settings.local_steps if settings.message == "delta" else 1.0
        begun, labels = model.expand_as(distinct), self.virtual.even_labels(len(distinct))
        rngs = [stream(self.setup.seed, f"malicious virtual data {number}") for _ in distinct]
        samples = self.virtual.made(begun, distinct / unit, labels, rngs)
        answer[finite] = self._heard(begun, samples, labels)[places]
        return answer

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        rows = super().crafted(round, receiver, messages)
        return None if rows is None else self.sendable(rows, receiver.model.weights, round.number)

    def _facts(self, round: Round, receiver: Receiver, messages: Tensor) -> Facts:
        facts = super()._facts(round, receiver, messages)
        asked = facts.aggregate
        assert asked is not None

        def aggregate(rows: Tensor) -> Tensor:
            sent = self.sendable(rows[: facts.f], receiver.model.weights, round.number)
            answer: Tensor = asked(torch.cat([sent, rows[facts.f :]]))
            return answer

        return replace(facts, aggregate=aggregate, rotation_equivariant=False)

    def message_bytes(self) -> tuple[float, float]:
        """The bytes of one client's samples, each with a label, and of the model that it gets."""
        _, model = super().message_bytes()
        m, *shape = self.virtual.shape
        size = self.setup.population.initial.element_size()
        return float(size * m * (torch.Size(shape).numel() + 1)), model
