"""Messages that are predictions: what each client's own model believes of samples that everybody has."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from robustfl.aggregation import Aggregation
from robustfl.aggregation.predictions import aggregate_predictions, nearest_distributions
from robustfl.errors import AttackError, ParameterError
from robustfl.federation.briefing import briefing
from robustfl.federation.channels.contract import Channel
from robustfl.federation.clients.distillation import Distiller
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.round import Ids, Lesson, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.transforms import Transform
from robustfl.threats import Adversary, Facts, Knowledge, UpdateAttack
from robustfl.threats.updates.view import Training, finite_rows

if TYPE_CHECKING:
    from torch import Tensor


IMITATION = 100
"""The steps, at least, in which somebody who watches learns a copy of a client's model from one message."""


class Student:
    """A model that learns from the answers alone and never sees a label; see :class:`ServerModel`.

    It is what anybody can have who hears the answers: the server, or whoever listens. `answer` [m C] is the last one,
    and None before the first.
    """

    def __init__(self, initial: Tensor, distiller: Distiller) -> None:
        self.weights = initial.clone()
        self.previous: Tensor | None = None
        self.answer: Tensor | None = None
        self._distiller, self._steps = distiller, 0

    @property
    def state(self) -> Tensor:
        """The weights themselves; clients do not start from them, as they have models of their own."""
        return self.weights

    def step(self, aggregate: Tensor) -> None:
        """Learn an answer [m C]."""
        self.previous, self.answer = self.weights, aggregate
        self.weights = self._distiller.learnt(self.weights[None], aggregate, self._steps)[0]
        self._steps += 1


class Predictions(Channel):
    """Predictions [m, C] for public samples, as vectors [m C]: each client sends what its own model believes.

    A client trains its own model on its own samples, as the settings say, and sends the softmax of its logits for the
    public samples. The server asks a rule for updates about these predictions
    (:func:`~robustfl.aggregation.predictions.aggregate_predictions`) and sends its answer, which clients then learn.
    Nobody sends weights. The settings `message` and those of the server's optimiser have no meaning here.

    An adversary sees predictions less 1/C, as the rule does. Of what it crafts, the nearest distributions are sent,
    also in the questions that it asks the defense. Rows that are not finite are sent as they are, and are refused.

    Shapes: messages are [k, m C].

    Raises
    ------
    ParameterError : the settings do not say how clients distil

    References
    ----------
    D. Li, J. Wang. FedMD: Heterogenous Federated Learning via Model Distillation. NeurIPS 2019 workshop on federated
    learning.
    """

    name: ClassVar[str] = "predictions"
    scales: ClassVar[bool] = False

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        super().__init__(setup, work, defense, transforms)
        if setup.public is None:
            raise ParameterError("The rounds of the channel 'predictions' need settings of `distillation`.")
        public = torch.as_tensor(setup.public, device=setup.population.device)
        self.distiller = Distiller(setup.population, setup.settings, setup.clean.features.index_select(0, public))
        self._level = 1.0 / setup.population.classes
        self._adversary = Adversary(setup.attack) if isinstance(setup.attack, UpdateAttack) else None

    def model(self) -> Student:
        return Student(self.setup.population.initial, self.distiller)

    def trained(self, models: Tensor, lesson: Lesson) -> Tensor:
        """The models [k, d] of clients after the local steps of a lesson."""
        return models - self.setup.settings.local_learning_rate * self.work.gradients(models, lesson)

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        return self.distiller.predicted(self.trained(models, lesson))

    def computed(self, round: Round, models: Tensor, lesson: Lesson) -> Tensor:
        round.trained = self.trained(models, lesson)
        return self.distiller.predicted(round.trained)

    def imitated(self, copies: Tensor, messages: Tensor, number: int) -> Tensor:
        """Copies that learn what clients claim to believe of the public samples, each its own; nobody needs a label."""
        passes = -(-IMITATION // self.distiller.rules.steps)
        for turn in range(passes):
            copies = self.distiller.learnt(copies, messages, number * passes + turn)
        return copies

    def admissible(self, rows: Tensor) -> Tensor:
        found, finite = rows.clone(), finite_rows(rows).tolist()
        sound = rows[finite]
        found[finite] = nearest_distributions(sound.reshape(len(sound), *self.distiller.shape)).flatten(1)
        return found

    def wants_own(self, number: int) -> bool:
        """Also true when malicious members will be honest in a later round: their models then have to be trained."""
        attack = self.setup.attack
        if attack is None or self._adversary is None or attack.every > 1 or attack.stop_round is not None:
            return True
        return Knowledge.OWN in attack.required_knowledge() or not attack.active(number)

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        if self._adversary is None:
            return None
        return self.admissible(self._adversary.craft(self._facts(round, receiver, messages)) + self._level)

    def _facts(self, round: Round, receiver: Receiver, messages: Tensor) -> Facts:
        """What the adversary could know: predictions in place of updates, and no global model."""
        student, level = receiver.model, self._level
        assert isinstance(student, Student)
        facts = briefing(
            self.setup,
            round,
            receiver,
            messages - level,
            own=lambda: self.own_messages(round, receiver) - level,
            relabelled=lambda change: self.relabelled(round, receiver, change) - level,
            training=_no_common_training,
            heard=lambda rows: rows,  # a mechanism has no place in this channel
        )
        asked = facts.aggregate
        assert asked is not None

        def aggregate(rows: Tensor) -> Tensor:
            sent = self.admissible(rows[: facts.f] + level) - level
            answer = asked(torch.cat([sent, rows[facts.f :]]))
            return self.admissible(answer[None] + level)[0] - level

        return replace(
            facts,
            weights=None,
            previous_weights=None,
            initial_weights=None,
            fresh=None,
            layers=(),
            loss=None,
            rotation_equivariant=False,
            aggregate=aggregate,
            message="delta",
            answered=None if student.answer is None else student.answer - level,
            classes=self.setup.population.classes,
        )

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        trusted = None if receiver.trusted is None else receiver.trusted.reshape(self.distiller.shape)
        return aggregate_predictions(
            receiver.defense,
            rows.reshape(-1, *self.distiller.shape),
            ids=names,
            trusted=trusted,
            preview=preview,
        )

    def vector(self, answer: Aggregation) -> Tensor:
        value: Tensor = answer.value
        return value.flatten()

    def answers(self, receiver: Receiver, ids: Ids) -> Tensor | None:
        """What the server answers to these members: [m C] to all of them, or [k, m C] to each its own.

        A defense that answers to each client in its own way says in `info["fusion"]`, by client, how much weight each
        client's predictions have in the answer to it. Members that it does not name get the common answer. None when
        the defense has not answered at all.
        """
        common, answer = receiver.aggregate, receiver.answer
        if common is None or answer is None:
            return None
        fusion = answer.info.get("fusion")
        if fusion is None:
            return common
        place = {member: row for row, member in enumerate(receiver.ids.tolist())}
        rows = receiver.arrived - self._level
        found = common.repeat(len(ids), 1)
        for row, member in enumerate(ids.tolist()):
            if member in fusion:
                weights = fusion[member]
                listened = rows[[place[other] for other in weights]]
                found[row] = self.admissible((rows.new_tensor(list(weights.values())) @ listened)[None] + self._level)[
                    0
                ]
        return found

    def message_bytes(self) -> tuple[float, float]:
        """The bytes of one client's predictions, both ways; everybody has had the public samples from the start."""
        samples, classes = self.distiller.shape
        size = self.setup.population.initial.element_size() * samples * classes
        return size, size


def _no_common_training() -> Training:
    raise AttackError("Clients that distil have models of their own: there is no common training to plan ahead with.")
