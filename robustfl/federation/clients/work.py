"""What clients compute: the one path for honest, malicious, trusted and relabelled training.

A lesson is the batches of a round, made ready for the members who train. The work turns models and a lesson into sums
of gradients. It is the same for honest clients, for malicious clients that train like them, for the server with its
trusted samples, and for the question of what clients would have sent with other labels. Whatever changes the work
therefore changes it for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.aggregation.client_side import ClientSide
from robustfl.federation.clients.batches import batches_for
from robustfl.federation.clients.hardening import Hardening
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.clients.objective import ClientObjective
from robustfl.federation.clients.poisoning import require_labels
from robustfl.federation.clients.training import TracedTrainer, trainer_for
from robustfl.federation.clients.trusted import TrustedSamples
from robustfl.federation.round import Ids, Lesson, Round, ServerModel
from robustfl.federation.setup import Setup
from robustfl.threats.updates.view import Relabelling

if TYPE_CHECKING:
    from torch import Tensor


class ClientWork:
    """The training of a simulation's members.

    Parameters
    ----------
    setup : says who trains, on which data, and by which rules
    trusted : whether the server trains on clean samples of its own
    trainer : computes sums of gradients, see :class:`~robustfl.federation.clients.local_steps.Trainer`;
        the default is the trainer that the settings ask for
    stages : the defenses that clients carry out while they train; a trainer that is given does not know them
    """

    def __init__(
        self,
        setup: Setup,
        *,
        trusted: bool = False,
        trainer: Trainer | None = None,
        stages: Sequence[ClientSide] = (),
    ) -> None:
        self._setup = setup
        self.objective = ClientObjective(setup.population, stages, setup.seed)
        self.trainer = trainer or trainer_for(setup.population, setup.settings, self.objective.loss)
        self._undrawn = trainer or trainer_for(setup.population, setup.settings, self.objective.undrawn)
        self._samples = TrustedSamples(setup.clean, setup.settings, setup.seed) if trusted else None
        self._hardening = Hardening(setup.population, setup.settings, setup.seed, who="trusted ", members=1)
        self._batches = batches_for(setup.members, setup.population, setup.seed, "batches")

    def apart(self, round: Round) -> bool:
        """Whether the malicious members of this round train in a way of their own."""
        attackers = self._setup.attackers
        return attackers is not None and len(round.malicious) > 0 and attackers.active(round.number)

    def lesson(self, number: int, ids: Ids, *, dirty: bool) -> Lesson:
        """The batches of round `number` for the members `ids`; `dirty` says that malicious members are among them.

        No member's batches depend on who takes part.
        """
        setup, settings = self._setup, self._setup.settings
        poisoned = setup.poisoning is not None and setup.poisoning.active(number)
        samples = settings.local_steps * settings.batch_size
        self._batches.begin(number, samples, poisoned)
        ids, place = setup.members.trained(ids)
        index, features, labels = self._batches.taken(ids, settings.local_steps)
        if setup.poisoning is not None and poisoned and dirty:
            features, labels = setup.poisoning(features, labels, index, ids)
        features, starts = setup.members.hardened(features, ids)
        draws = self.objective.draws(number, ids, settings.local_steps, settings.batch_size)
        return Lesson(ids=ids, place=place, index=index, features=features, labels=labels, starts=starts, draws=draws)

    def gradients(self, models: Tensor, lesson: Lesson) -> Tensor:
        """The sums of gradients over the local steps, one row per client: [d] or [k, d] -> [k, d]."""
        data = (lesson.features, lesson.labels, lesson.starts)
        return self._undrawn(models, *data) if lesson.draws is None else self.trainer(models, *data, lesson.draws)

    def attackers_messages(self, round: Round, model: ServerModel) -> Tensor:
        """The messages [f, d] of malicious members who train in their own way, before they are crafted any further."""
        attackers = self._setup.attackers
        assert attackers is not None
        return attackers.messages(round.number, round.malicious, self._batches, model.weights, model.previous)

    def relabelled(self, round: Round, change: Relabelling) -> tuple[Tensor, Lesson]:
        """The models and the lesson of the honest members of a round, with other labels.

        Raises AttackError when `change` returns something that is not labels.
        """
        lesson, models = round.lesson, round.models
        assert lesson is not None
        assert models is not None
        own = slice(len(lesson.ids) - len(round.honest), None)  # honest members come last
        labels, classes = lesson.labels[own], self._setup.population.classes
        changed = torch.as_tensor(change(labels.clone(), classes))
        require_labels(self._setup.attack, changed.cpu().numpy(), tuple(labels.shape), classes)
        count = len(round.honest)
        part = dataclasses.replace(
            lesson,
            ids=lesson.ids[own],
            place=np.arange(count),
            index=lesson.index[own],
            features=lesson.features[own],
            labels=changed.to(labels),
            starts=None if lesson.starts is None else lesson.starts[own],
            draws=None if lesson.draws is None else lesson.draws[own],
            taking=None if lesson.taking is None else lesson.taking[own],
        )
        return (models if models.ndim == 1 else models[own]), part

    def trusted_lesson(self) -> Lesson | None:
        """The server's own batches of a round, in the form of a single client's; None when the defense wants none.

        What clients minimise is not random for the server: it mixes no samples and adds no noise.
        """
        if self._samples is None:
            return None
        index, features, labels = self._samples.draw()
        features, starts = self._hardening(features, [0])
        one = np.zeros(1, dtype=np.int64)
        return Lesson(ids=one, place=one, index=index, features=features, labels=labels, starts=starts)

    def remembered_trusted(self, message: Tensor) -> Tensor:
        """The server's own message after momentum, which is applied where clients have momentum."""
        assert self._samples is not None
        return self._samples.with_momentum(message)

    def differentiable(self) -> TracedTrainer:
        """The training without adversarial search, as a function that autograd can differentiate in the models.

        Clients' defenses are left out as well: an attacker that plans ahead plans for clients without them.
        """
        settings = self._setup.settings
        return TracedTrainer(self._setup.population, settings.local_learning_rate, settings.sharpness_radius)
