"""Messages that are whole models: every peer trains the model that it has, and sends what it then has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from robustfl.aggregation.neighbourhoods.hearsay import HearsayMixer
from robustfl.federation.channels.dense import Dense
from robustfl.federation.round import Ids, Lesson, Receiver, Round

if TYPE_CHECKING:
    from torch import Tensor

FEWEST, NUMBERS = 32, 1 << 20
"""Peers train in chunks of so many, or of more while their models have at most so many numbers together: the models of
a chunk then stay in the cache between the steps."""


class Models(Dense):
    """The letters of peers, which are vectors [d]: the models that peers have after steps of their own.

    A peer with momentum adds its momentum in place of its step, as clients of a server send it. Malicious peers train
    as well, on data that may be poisoned, since they take part with a model of their own.
    """

    name: ClassVar[str] = "peers"
    scales: ClassVar[bool] = False

    def wants_own(self, number: int) -> bool:
        return True

    def compute(self, round: Round, models: Callable[[Round, Ids], Tensor]) -> None:
        """Fill in the lesson of a round and the models [k, d] before and after it.

        `models(round, ids)` hands out copies [k, d], which are changed.
        """
        malicious, honest = round.malicious, round.honest
        asked = np.concatenate([malicious, honest])
        lesson = round.lesson = self.work.lesson(round.number, asked, dirty=len(malicious) > 0)
        trained = models(round, lesson.ids)
        round.models = trained.clone()
        self.train(trained, lesson)
        idle = torch.as_tensor(~self.setup.members.supplied[lesson.ids], device=trained.device)
        trained[idle] = round.models[idle]
        if self._momentum is not None:
            trained = round.models + self.remembered(trained - round.models, lesson.ids)
        round.computed = trained
        if len(lesson.place) > len(lesson.ids):  # some identities share one model
            trained = trained[torch.as_tensor(lesson.place, device=trained.device)]
        split = len(malicious)
        round.own, round.messages = trained[:split], trained[split:]

    def message_bytes(self) -> tuple[float, float]:
        """The bytes that an honest peer sends to its neighbours, and gets from them, in the mean over honest peers."""
        network = self.setup.network
        assert network is not None
        size = self.setup.population.initial.element_size() * self.setup.population.d
        count = network.rules.gossip_steps
        if isinstance(self.defense, HearsayMixer):  # a rumour is as large as a letter, and so is an update
            count = count * (1 + self.defense.most) + self.defense.hears_updates
        sent, heard = network.letters(self.setup.honest)
        return sent * size * count, heard * size * count

    def train(self, models: Tensor, lesson: Lesson) -> None:
        """Let each peer make its local steps, in place, [k, d].

        Cost: for each step and chunk of peers one gradient, and no other copy of the models.
        """
        rate = self.setup.settings.local_learning_rate
        chunk = max(FEWEST, NUMBERS // models.shape[1])
        for first in range(0, len(models), chunk):
            rows = slice(first, first + chunk)
            for step in range(self.setup.settings.local_steps):
                part = _part(lesson, rows, slice(step, step + 1))
                models[rows].sub_(self.work.gradients(models[rows], part), alpha=rate)

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        found = models.expand(len(lesson.ids), -1).clone()
        self.train(found, lesson)
        return found

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        return None  # letters are crafted for all peers at once, where they are exchanged


def _part(lesson: Lesson, rows: slice, steps: slice) -> Lesson:
    """Some steps of some members of a lesson."""
    cut: dict[str, Any] = {}
    for name in ("index", "features", "labels", "starts", "draws", "taking"):
        values = getattr(lesson, name)
        cut[name] = None if values is None else values[rows, steps]
    ids = lesson.ids[rows]
    return dataclasses.replace(lesson, ids=ids, place=np.arange(len(ids)), **cut)
