"""How a model classifies the test set, and the measures of accuracy that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from robustfl.federation.clients.training import predict, predict_alike

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Classified:
    """The test samples of every class, and what a model takes them for.

    Attributes
    ----------
    tested : [C] the test samples of each class
    right : [C] those of them that are recognised
    found : [C] the test samples that the model takes for each class
    loss : the mean cross-entropy
    """

    tested: Counts
    right: Counts
    found: Counts
    loss: float

    @property
    def recalls(self) -> Floats:
        """The share of each class that is recognised, [C]; NaN for a class without test samples."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.right / self.tested)

    @cached_property
    def plain(self) -> float:
        """The share of the test samples that is recognised."""
        return float(self.right.sum() / self.tested.sum())

    @property
    def balanced(self) -> float:
        """The mean recall over the classes of the test set: every class counts the same, however rare it is."""
        return float(self.recalls[self.tested > 0].mean())

    @property
    def macro_f1(self) -> float:
        """The mean over the classes of the test set of ``F1_c = 2 right_c / (tested_c + found_c)``.

        F1 is the harmonic mean of recall and precision, so a rare class that is named too often is not served well.
        """
        tested = self.tested > 0
        return float((2 * self.right[tested] / (self.tested + self.found)[tested]).mean())


MODELS = 1 << 22
"""The number of logits that are computed at a time where many models are measured, at most."""


@torch.no_grad()
def all_classified(population: Population, models: Tensor, chosen: Tensor | None = None) -> list[Classified]:
    """How each of the models [k, d] classifies the test samples, or those that are `chosen` [m].

    Cost: one pass of all models over the samples, in batched computations.
    """
    features, truth = population.test_features, population.test_labels
    if chosen is not None:
        features, truth = features[chosen], truth[chosen]
    classes = population.classes
    tested = torch.bincount(truth, minlength=classes).cpu().numpy()
    chunk = max(1, MODELS // (len(truth) * classes))
    found: list[Classified] = []
    for first in range(0, len(models), chunk):
        logits = predict_alike(population, models[first : first + chunk], features)
        k, guess = len(logits), logits.argmax(dim=2)
        line = torch.arange(k, device=guess.device)[:, None] * classes
        named = torch.bincount((line + guess).flatten(), minlength=k * classes).reshape(k, classes)
        hit = (line + truth)[guess == truth]
        right = torch.bincount(hit, minlength=k * classes).reshape(k, classes)
        each = cross_entropy(logits.flatten(0, 1), truth.repeat(k), reduction="none")
        loss = each.reshape(k, -1).double().mean(dim=1)
        found += [
            Classified(tested=tested, right=one, found=other, loss=value)
            for one, other, value in zip(right.cpu().numpy(), named.cpu().numpy(), loss.tolist(), strict=True)
        ]
    return found


@torch.no_grad()
def classified(population: Population, weights: Tensor, chunk: int = 2048) -> Classified:
    """How a model [d] classifies the test set; `chunk` samples are classified at a time."""
    labels, classes = population.test_labels, population.classes
    truth = labels.cpu().numpy()
    right, found = (np.zeros(classes, dtype=np.int64) for _ in range(2))
    loss = 0.0
    for start in range(0, len(labels), chunk):
        here = slice(start, start + chunk)
        logits = predict(population, weights, population.test_features[here])
        guess, wanted = logits.argmax(dim=1).cpu().numpy(), truth[here]
        right += np.bincount(wanted[guess == wanted], minlength=classes)
        found += np.bincount(guess, minlength=classes)
        loss += float(cross_entropy(logits, labels[here], reduction="sum"))
    tested = np.bincount(truth, minlength=classes)
    return Classified(tested=tested, right=right, found=found, loss=loss / len(labels))
