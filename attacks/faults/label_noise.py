"""Clients that label with little care."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, LocalData


@dataclass(frozen=True, kw_only=True)
class LabelNoise(Fault):
    """Label noise: some labels of the training data are wrong, without any plan behind it.

    Formula: each label is wrong with probability `rate`, once and for all. ``symmetric``: it becomes one of the other
    classes, all alike; ``asymmetric``: ``y -> (y + 1) mod C``, as classes are taken for their neighbours.

    References
    ----------
    N. Natarajan, I. S. Dhillon, P. Ravikumar, A. Tewari. Learning with Noisy Labels. NIPS 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from robustfl.attacks import LabelNoise
    >>> from robustfl.threats import LocalData
    >>> local = LocalData(features=torch.zeros(6, 1), labels=np.arange(6), classes=6, drawn=np.arange(6))
    >>> LabelNoise(rate=0.5, mode="asymmetric").data(local, np.random.default_rng(0)).labels.tolist()
    [0, 2, 3, 4, 4, 5]
    """

    reference: ClassVar[str] = "Natarajan et al., Learning with Noisy Labels, NIPS 2013"
    label_parameters: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Annotated[float, Gt(0), Le(1), Doc("share of the labels that are wrong")] = 0.2
    mode: Annotated[Literal["symmetric", "asymmetric"], Doc("what a wrong label becomes")] = "symmetric"

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        labels, classes = local.labels, local.classes
        if classes < 2:
            return local
        wrong = rng.random(len(labels)) < self.rate
        by = rng.integers(1, classes, size=len(labels)) if self.mode == "symmetric" else 1
        return replace(local, labels=np.where(wrong, (labels + by) % classes, labels))
