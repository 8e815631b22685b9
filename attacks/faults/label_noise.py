"""Clients that label their data carelessly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, LocalData


@dataclass(frozen=True, kw_only=True)
class LabelNoise(Fault):
    """Label noise: some labels of the training data are wrong by accident.

    Formula: each label is wrong with probability `rate`; this is drawn once. With ``symmetric``, a wrong label becomes
    each of the other classes with the same probability. With ``asymmetric``, a label y becomes ``(y + 1) mod C``, where
    C is the number of classes: every class is mistaken for its neighbour.

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
    unfit: ClassVar[str] = "as an attack: labels are wrong by chance, and nobody chooses which; `label_flip` does"
    label_parameters: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Annotated[float, Gt(0), Le(1), Doc("chance that a label is wrong")] = 0.2
    mode: Annotated[Literal["symmetric", "asymmetric"], Doc("what a wrong label becomes")] = "symmetric"

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        labels, classes = local.labels, local.classes
        if classes < 2:
            return local
        wrong = rng.random(len(labels)) < self.rate
        by = rng.integers(1, classes, size=len(labels)) if self.mode == "symmetric" else 1
        return replace(local, labels=np.where(wrong, (labels + by) % classes, labels))
