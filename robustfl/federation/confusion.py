"""How often a targeted attack reaches its aim: that samples of one class are taken for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from robustfl.errors import ParameterError
from robustfl.federation.task import Population

if TYPE_CHECKING:
    from torch import Tensor


class Confusion:
    """Measures over the training how the test samples of a source class are classified.

    Raises ParameterError when the test set has no sample of the source class.
    """

    def __init__(self, population: Population, source: int, target: int) -> None:
        self._source, self._target = source, target
        self._rows = population.test_labels == source
        self._features = population.test_features[self._rows]
        self._others = len(population.test_labels) - len(self._features)
        if not len(self._features):
            raise ParameterError(f"`source` should be a class of the test set. Found source={source}.")
        self._curve: list[float] = []

    def measure(self, predict: Callable[[Tensor], Tensor], accuracy: float) -> dict[str, float | list[float]]:
        """What the trace reports, with one more point on the curve; `accuracy` is that on all test samples.

        `attack_success`: share of the source class that is taken for the target; `attack_success_curve`: the same at
        every measurement; `source_accuracy`: share that is recognised; `other_accuracy`: that of all other classes.
        """
        with torch.no_grad():
            found = predict(self._features).argmax(dim=1)
        source = int((found == self._source).sum())
        self._curve.append(int((found == self._target).sum()) / len(self._features))
        right = round(accuracy * (self._others + len(self._features)))
        report: dict[str, float | list[float]] = {
            "attack_success": self._curve[-1],
            "attack_success_curve": list(self._curve),
            "source_accuracy": source / len(self._features),
        }
        return report | ({"other_accuracy": (right - source) / self._others} if self._others else {})
