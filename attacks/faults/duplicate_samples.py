"""Samples that appear in the data many times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, LocalData


@dataclass(frozen=True, kw_only=True)
class DuplicateSamples(Fault):
    """Duplicate samples: some samples appear many times in a client's data, as after a faulty import.

    Formula: each sample is duplicated with probability `fraction`. A duplicated sample is drawn into batches `times`
    as often as the others.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from robustfl.attacks import DuplicateSamples
    >>> from robustfl.threats import LocalData
    >>> local = LocalData(features=torch.zeros(3, 1), labels=np.zeros(3), classes=2, drawn=np.arange(3))
    >>> DuplicateSamples(times=3, fraction=0.5).data(local, np.random.default_rng(0)).drawn.tolist()
    [0, 1, 1, 1, 2, 2, 2]
    """

    unfit: ClassVar[str] = "for duplicates that several clients share: samples are repeated within a client's own data"

    label_parameters: ClassVar[tuple[str, ...]] = ("times", "fraction")

    times: Annotated[int, Ge(2), Doc("how often a duplicated sample appears in the data")] = 10
    fraction: Annotated[float, Gt(0), Le(1), Doc("chance that a sample is duplicated")] = 0.1

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        hit = rng.random(len(local.labels))[local.drawn] < self.fraction
        return replace(local, drawn=np.repeat(local.drawn, np.where(hit, self.times, 1)))
