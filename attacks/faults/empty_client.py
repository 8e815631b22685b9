"""Clients that have no data, or too little data, to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, LocalData


@dataclass(frozen=True, kw_only=True)
class EmptyClient(Fault):
    """Empty client: some clients have no samples at all, or only samples of a few classes.

    Formula: a client keeps the samples of its `classes` most frequent classes; of equally frequent classes it keeps the
    one with the lower label. A client without samples never takes part, because it has nothing to compute with.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from robustfl.attacks import EmptyClient
    >>> from robustfl.threats import LocalData
    >>> labels = np.array([2, 0, 2, 1])
    >>> local = LocalData(features=torch.zeros(4, 1), labels=labels, classes=3, drawn=np.arange(4))
    >>> EmptyClient(classes=1).data(local, np.random.default_rng(0)).drawn.tolist()
    [0, 2]
    """

    unfit: ClassVar[str] = "with `classes` as large as the number of classes that clients hold, which changes nothing"

    label_parameters: ClassVar[tuple[str, ...]] = ("share", "classes")

    share: Annotated[
        float, Gt(0), Le(1), Doc("share of the clients to whom the fault happens, the same ones in all rounds")
    ] = 0.2
    classes: Annotated[int, Ge(0), Doc("number of classes of which these clients keep their samples")] = 0

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        labels = local.labels[local.drawn]
        counts = np.bincount(labels, minlength=local.classes)
        kept = np.argsort(-counts, kind="stable")[: self.classes]
        return replace(local, drawn=local.drawn[np.isin(labels, kept)])
