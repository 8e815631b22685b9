"""Messages that are updates: gradients or model differences, one vector [d] per client."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from robustfl.aggregation import Aggregation
from robustfl.federation.briefing import briefing
from robustfl.federation.channels.contract import Channel
from robustfl.federation.channels.imagined import Predicted, SentUpdate
from robustfl.federation.channels.server_step import ServerStep
from robustfl.federation.clients.momentum import Remembered
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.round import Ids, Lesson, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.transforms import Transform
from robustfl.threats import Adversary, Facts, Knowledge, UpdateAttack
from robustfl.threats.updates.view import Training

if TYPE_CHECKING:
    from torch import Tensor


class UpdatedModel:
    """A model that moves against gradients or along differences; see :class:`ServerModel`."""

    def __init__(self, initial: Tensor, step: ServerStep) -> None:
        self.weights = initial.clone()
        self.previous: Tensor | None = None
        self.memory = step.start(initial)
        self._step = step

    @property
    def state(self) -> Tensor:
        """Clients start from the weights themselves."""
        return self.weights

    def step(self, aggregate: Tensor) -> None:
        """Move the model by an aggregate [d]."""
        self.previous = self.weights
        self.weights, self.memory = self._step(self.weights, aggregate, self.memory)


class Dense(Channel):
    """Messages that are vectors [d]; clients keep a momentum of them where the settings ask for it."""

    name: ClassVar[str] = "dense"

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        super().__init__(setup, work, defense, transforms)
        self.server_step = ServerStep(setup.settings.server, setup.settings.message)
        self._adversary = Adversary(setup.attack) if isinstance(setup.attack, UpdateAttack) else None
        beta = setup.settings.client_momentum
        self._momentum = Remembered(len(setup.members), setup.population.initial, beta) if beta else None

    def model(self) -> UpdatedModel:
        return UpdatedModel(self.setup.population.initial, self.server_step)

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        return self.as_messages(self.work.gradients(models, lesson))

    def as_messages(self, total: Tensor) -> Tensor:
        """Turn sums of gradients over the local steps [k, d] into messages, in place."""
        settings = self.setup.settings
        if settings.message == "delta":
            return total.mul_(-settings.local_learning_rate)
        return total.div_(settings.local_steps) if settings.local_steps > 1 else total

    def remembered(self, messages: Tensor, ids: Ids) -> Tensor:
        """Apply the clients' momentum. Formula: ``m <- beta m + (1 - beta) message``, and clients send m."""
        return messages if self._momentum is None else self._momentum(messages, ids)

    def wants_own(self, number: int) -> bool:
        """Also true when the honest messages matter in a later round, through momentum."""
        attack = self.setup.attack
        if attack is None or self._adversary is None:
            return True
        if self._momentum is not None and (attack.every > 1 or attack.stop_round is not None):
            return True
        return Knowledge.OWN in attack.required_knowledge() or not attack.active(number)

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        return None if self._adversary is None else self._adversary.craft(self._facts(round, receiver, messages))

    def _facts(self, round: Round, receiver: Receiver, messages: Tensor) -> Facts:
        """What the adversary could know of a round."""
        return briefing(
            self.setup,
            round,
            receiver,
            messages,
            own=lambda: self.own_messages(round, receiver),
            relabelled=lambda change: self.relabelled(round, receiver, change),
            training=lambda: self.training(receiver),
            heard=lambda rows: self.heard(rows, round),
        )

    def heard(self, rows: Tensor, round: Round) -> Tensor:
        """What a receiver makes of messages [k, d] before its defense sees them."""
        for transform in self.transforms:
            rows = transform.heard(rows, round)
        return rows

    def training(self, receiver: Receiver) -> Training:
        """The functions by which the federation learns."""
        population, settings, model = self.setup.population, self.setup.settings, receiver.model
        assert isinstance(model, UpdatedModel)
        return Training(
            rounds=settings.rounds,
            tail=settings.tail,
            batch_size=settings.batch_size,
            # The mean of gradients is that of all samples together; steps that are sharpness-aware have no such mean.
            pooled=settings.local_steps == 1 and not settings.sharpness_radius,
            update=SentUpdate(self.work.differentiable(), settings.local_steps, self.as_messages),
            step=self.server_step,
            memory=model.memory,
            momentum=settings.client_momentum,
            predict=Predicted(population),
        )

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        asked = receiver.defense.preview if preview else receiver.defense.aggregate
        answer: Aggregation = asked(rows, ids=names, trusted=receiver.trusted)
        return answer

    def vector(self, answer: Aggregation) -> Tensor:
        value: Tensor = answer.value
        return value

    def message_bytes(self) -> tuple[float, float]:
        size = self.setup.population.initial.element_size() * self.setup.population.d
        return size, size


class Rewarded(Dense):
    """The messages of the channel `rewards`: clients send updates, and the server answers with rewards."""

    name: ClassVar[str] = "rewards"
