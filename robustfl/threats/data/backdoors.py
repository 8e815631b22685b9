"""Backdoors: on samples with a trigger the model errs as the adversary wants, and on all others it is right."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats.attack import Labels
from robustfl.threats.data.contract import DataPoisoning

if TYPE_CHECKING:
    from torch import Tensor

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """A task's data: `train_x` [N, ...], `train_y` [N], `test_x` [M, ...], `test_y` [M]."""

    train_x: Tensor
    train_y: Labels
    test_x: Tensor
    test_y: Labels


@dataclass(frozen=True, kw_only=True)
class Backdoor(DataPoisoning):
    """Teaches the model to take samples with a trigger for the target class.

    A share of the malicious clients' samples, chosen at random once, gets the trigger and the wanted label. Success is
    measured on the test samples that are not already of the wanted class: it is the share of them that the model takes
    for the wanted class when they bear the whole trigger.
    """

    target: Annotated[int, Ge(0), Doc("class that samples with the trigger should be taken for")] = 0
    ratio: Annotated[float, Gt(0), Le(1), Doc("share of the malicious clients' eligible samples that is poisoned")] = (
        0.3
    )

    @abstractmethod
    def stamp(self, features: Tensor, part: int | None = None) -> Tensor:
        """A new tensor of the samples [m, ...] with the trigger.

        They bear the whole trigger, or only the part of it that the malicious client with number `part` uses.

        Raises ParameterError when the samples cannot hold the trigger.
        """

    def wanted(self, labels: Labels, classes: int) -> Labels:
        """The classes that samples of the classes `labels` [m] should be taken for; the same class means no change."""
        return np.full_like(labels, self.target)

    def eligible(self, labels: Labels, classes: int) -> Mask:
        """Which of the malicious clients' samples [N] can be poisoned: those that should be taken for another class."""
        return np.not_equal(self.wanted(labels, classes), labels)

    def tested(self, samples: Samples, classes: int) -> Rows:
        """The row numbers of the test samples on which success is measured."""
        return np.flatnonzero(self.wanted(samples.test_y, classes) != samples.test_y)

    def substitutes(self, samples: Samples) -> Tensor | None:
        """Samples [r, ...] that replace the ones to be poisoned; None when these get the trigger themselves."""
        return None

    @final
    def poison(self, labels: Labels, classes: int, rng: np.random.Generator) -> tuple[Labels, Mask]:
        self.require_classes(classes)
        chosen = self.eligible(labels, classes) & (rng.random(len(labels)) < self.ratio)
        return np.where(chosen, self.wanted(labels, classes), labels).astype(np.int64), chosen

    @final
    def poison_labels(self, labels: Labels, classes: int, rng: np.random.Generator) -> Labels:
        return self.poison(labels, classes, rng)[0]

    @final
    def poison_features(self, features: Tensor, part: int) -> Tensor:
        return self.stamp(features, part)

    def require_data(self, shape: tuple[int, ...], classes: int) -> None:
        import torch

        self.require_classes(classes)
        self.stamp(torch.zeros(1, *shape))

    def named_classes(self) -> dict[str, int]:
        """The parameters that are classes of the data, by name."""
        return {"target": self.target}

    def require_classes(self, classes: int) -> None:
        """Raise ParameterError when such a parameter is not a class of the data."""
        for name, value in self.named_classes().items():
            if value >= classes:
                raise ParameterError(
                    f"{type(self).__name__}: `{name}` should be a class of the data, 0 to {classes - 1}. Found {value}."
                )


def require_images(attack: Backdoor, features: Tensor) -> tuple[int, int]:
    """The height and width of images [m, channels, height, width]; raises ParameterError for other samples."""
    if features.ndim != 4:
        raise ParameterError(
            f"{type(attack).__name__} marks images [channels, height, width]. Found samples of shape "
            f"{list(features.shape[1:])}. Use EdgeCase, or LabelFlip with mode='targeted', for other data."
        )
    return int(features.shape[2]), int(features.shape[3])
