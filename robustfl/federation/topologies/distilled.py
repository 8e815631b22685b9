"""Clients that keep models of their own and learn, by distillation, what the server answers to their predictions."""

from __future__ import annotations

from robustfl.federation.channels.predictions import Predictions
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.rewards import OwnModels


class Distilled(OwnModels):
    """Each client trains its own model, and then learns the server's answer on the public samples.

    Clients start from the same weights, and those who take part in a round move: first by their own training, then by
    the steps of distillation, in which their own batches of the round come again. A round without an answer leaves them
    with their own training. Whoever is absent gets no answer. The server's model learns from the answers alone.
    """

    def __init__(self, setup: Setup, channel: Predictions) -> None:
        super().__init__(setup, channel)
        self._channel = channel

    def advance(self, round: Round) -> None:
        receiver, lesson = round.receivers[0], round.lesson
        assert lesson is not None
        assert round.trained is not None
        if receiver.aggregate is not None:
            self.server.step(receiver.aggregate)
        answers = self._channel.answers(receiver, lesson.ids)
        models = round.trained
        if answers is not None:
            models = self._channel.distiller.learnt(models, answers, round.number, lesson)
        self.own[lesson.ids] = models
