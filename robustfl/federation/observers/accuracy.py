"""How good the models are that honest clients have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.clients.training import measure
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.task import Population
from robustfl.federation.trace import Trace

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


class Accuracy(Observer):
    """The accuracy and the loss on the test set, as means over the models that honest clients have.

    A model that is no longer finite ends the training. This is rare, because defenses refuse rows that are not finite.
    `best` is the model with the highest accuracy at the last measurement.
    """

    def __init__(self, population: Population) -> None:
        self._population = population
        self._accuracy: list[tuple[int, float]] = []
        self._loss: list[tuple[int, float]] = []
        self._diverged = False
        self.best: Tensor = population.initial

    def hear(self, round: Round) -> None:
        if round.served is None:
            return
        if bool(round.served.isfinite().all()):
            measured = accuracies(self._population, round.served)
            accuracy, loss = measured.mean(axis=0).tolist()
            if np.isfinite(loss):
                self._accuracy.append((round.finished, accuracy))
                self._loss.append((round.finished, loss))
                self.best = round.served[int(measured[:, 0].argmax())]
                return
        self._diverged = round.diverged = True

    def report(self, trace: Trace) -> None:
        trace.accuracy, trace.loss, trace.diverged = self._accuracy, self._loss, self._diverged


def accuracies(population: Population, models: Tensor) -> Floats:
    """The accuracy and the loss [s, 2] of models [s, d] on the test set."""
    return np.array([measure(population, model) for model in models])
