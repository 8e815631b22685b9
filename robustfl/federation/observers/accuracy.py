"""How good the models are that honest clients have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robustfl.federation.classified import Classified, classified
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.settings import Federation
from robustfl.federation.task import Population
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

Curve = list[tuple[int, float]]


class Accuracy(Observer):
    """How the models that honest clients have classify the test set, as means over these models.

    `accuracy` of a record is the share of the test samples that is recognised. The three measures below are means over
    the tail of the training (:attr:`Federation.tail`), and the score uses one of them.

    A model that is no longer finite ends the training. This is rare, because defenses refuse rows that are not finite.
    `best` is the model with the highest accuracy at the last measurement.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "balanced_accuracy",
            "mean recall over the classes of the test set, over the end of the training",
            unit="share",
            better="higher",
        ),
        Measure(
            "plain_accuracy",
            "share of the test samples that is recognised, over the end of the training",
            unit="share",
            better="higher",
        ),
        Measure(
            "macro_f1",
            "mean F1 over the classes of the test set, over the end of the training",
            unit="share",
            better="higher",
        ),
        Measure(
            "balanced_accuracy_curve",
            "balanced accuracy at every measurement",
            unit="share",
            better="higher",
            form="list",
        ),
        Measure("macro_f1_curve", "macro F1 at every measurement", unit="share", better="higher", form="list"),
    )

    def __init__(self, population: Population, settings: Federation) -> None:
        self._population, self._settings = population, settings
        self._loss: Curve = []
        self._diverged = False
        self.plain: Curve = []
        self.balanced: Curve = []
        self.macro_f1: Curve = []
        self.best: Tensor = population.initial

    def hear(self, round: Round) -> None:
        if round.served is None:
            return
        if self.finite(round.served):
            found = self.classified(round.served, round)
            loss = _mean([one.loss for one in found])
            if np.isfinite(loss):
                self.note(round.finished, found, loss)
                self.remember(round.served, [one.plain for one in found])
                return
        self._diverged = round.diverged = True

    def finite(self, models: Tensor) -> bool:
        """Whether all models of honest clients are finite."""
        return bool(models.isfinite().all())

    def remember(self, models: Tensor, accuracies: Sequence[float]) -> None:
        """Keep the model that stands for all."""
        self.best = models[self.representative(accuracies)]

    def classified(self, models: Tensor, round: Round) -> list[Classified]:
        """How each of the models [s, d] that honest clients have classifies the test set."""
        return [classified(self._population, model) for model in models]

    def reduced(self, values: Sequence[float]) -> float:
        """One number for those of all models, [s]: their mean."""
        return _mean(values)

    def representative(self, accuracies: Sequence[float]) -> int:
        """The model that stands for all, by their accuracies [s]: the best one."""
        return int(np.argmax(accuracies))

    def note(self, finished: int, found: Sequence[Classified], loss: float) -> None:
        """Take note of a measurement; `loss` is the mean loss of all models."""
        self._loss.append((finished, loss))
        self.plain.append((finished, self.reduced([one.plain for one in found])))
        self.balanced.append((finished, self.reduced([one.balanced for one in found])))
        self.macro_f1.append((finished, self.reduced([one.macro_f1 for one in found])))

    def report(self, trace: Trace) -> None:
        trace.accuracy, trace.loss, trace.diverged = self.plain, self._loss, self._diverged
        self.tell(
            trace,
            balanced_accuracy=tail_mean(self.balanced, self._settings),
            plain_accuracy=tail_mean(self.plain, self._settings),
            macro_f1=tail_mean(self.macro_f1, self._settings),
            balanced_accuracy_curve=[value for _, value in self.balanced],
            macro_f1_curve=[value for _, value in self.macro_f1],
        )


def tail_mean(curve: Sequence[tuple[int, float]], settings: Federation) -> float | None:
    """The mean of the measurements [(finished rounds, value)] in the tail; None when there are none there.

    A training that diverged may have ended before. What is measured in addition, because an attack starts or stops
    there, does not count, so that no round has more weight than the others.
    """
    start = settings.rounds - settings.tail
    values = [value for finished, value in curve if finished > start and settings.measured(finished)]
    return _mean(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return float(values[0] if len(values) == 1 else np.mean(values))
