"""How often a targeted attack reaches its aim that samples of one class are classified as another class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from robustfl.errors import ParameterError
from robustfl.federation.task import Population

if TYPE_CHECKING:
    from torch import Tensor


CHUNK = 2048
"""The number of samples that are classified at a time."""


class Confusion:
    """Measures how the test samples of a source class are classified.

    Raises ParameterError when the test set has no sample of the source class.
    """

    def __init__(self, population: Population, source: int, target: int) -> None:
        self._population, self._source, self._target = population, source, target
        self._rows = population.test_labels == source
        if not bool(self._rows.any()):
            raise ParameterError(f"`source` should be a class of the test set. Found source={source}.")

    def rates(self, predict: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The rates of a model by name.

        `attack_success` is the share of the source class that is classified as the target class. `source_accuracy` and
        `target_accuracy` are the accuracies on these two classes, and `other_accuracy` is the accuracy on all classes
        but the source class.
        """
        with torch.no_grad():
            features = self._population.test_features
            parts = [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]
            found = torch.cat([predict(part).argmax(dim=1) for part in parts])
        truth = self._population.test_labels
        rates = {
            "attack_success": float((found[self._rows] == self._target).double().mean()),
            "source_accuracy": float((found[self._rows] == self._source).double().mean()),
        }
        for name, rows in (("target_accuracy", truth == self._target), ("other_accuracy", ~self._rows)):
            if bool(rows.any()):
                rates[name] = float((found[rows] == truth[rows]).double().mean())
        return rates
