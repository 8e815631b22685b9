"""The edge-case backdoor, whose trigger is that a sample is rare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Backdoor
from robustfl.threats.attack import Labels
from robustfl.threats.data.backdoors import Samples

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class EdgeCase(Backdoor):
    """Edge case: the model learns to take unusual samples of one class, which no honest client has, for the target.

    Formula: the rare samples are those `count` test samples of class `source` that have the largest mean distance to
    their 5 nearest training samples of this class. They are ordered by rarity. The first, third, fifth ... of them
    become samples of the malicious clients with the label `target`, and replace a share `ratio` of these clients' own
    samples. Success is measured on the second, fourth, sixth ... of them. Samples may have any shape.

    Knowledge: the malicious clients' own data, and the rare samples.

    References
    ----------
    H. Wang et al. Attack of the Tails: Yes, You Really Can Backdoor Federated Learning. NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from robustfl.attacks import EdgeCase
    >>> from robustfl.threats.data.backdoors import Samples
    >>> test = torch.tensor([[0.0], [9.0], [1.0], [5.0]])
    >>> few = Samples(torch.zeros(6, 1), np.zeros(6, int), test, np.array([0, 0, 0, 1]))
    >>> attack = EdgeCase(source=0, target=1, count=2)
    >>> attack.substitutes(few).tolist(), attack.tested(few, classes=2).tolist()
    ([[9.0]], [2])
    """

    reference: ClassVar[str] = (
        "Wang et al., Attack of the Tails: Yes, You Really Can Backdoor Federated Learning, NeurIPS 2020"
    )
    unfit: ClassVar[str] = (
        "where many samples have to decide: success is counted on half of `count` rare ones, which are ten by default"
    )

    source: Annotated[int, Ge(0), Doc("class of the rare samples")] = 7
    target: Annotated[int, Ge(0), Doc("class that the rare samples should be taken for")] = 1
    count: Annotated[int, Ge(2), Doc("number of rare test samples; the malicious clients have half of them")] = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source == self.target:
            raise ParameterError(f"EdgeCase: `target` should differ from `source`. Found both {self.source}.")

    def stamp(self, features: Tensor, part: int | None = None) -> Tensor:
        """A copy of the samples: they themselves are the trigger."""
        return features.clone()

    def eligible(self, labels: Labels, classes: int) -> npt.NDArray[np.bool_]:
        """All samples, because samples of every class can be replaced by rare ones."""
        return np.ones(len(labels), dtype=np.bool_)

    def tested(self, samples: Samples, classes: int) -> npt.NDArray[np.int64]:
        return np.sort(self._rare(samples)[1::2])

    def substitutes(self, samples: Samples) -> Tensor:
        return samples.test_x[self._rare(samples)[::2]]

    def named_classes(self) -> dict[str, int]:
        return super().named_classes() | {"source": self.source}

    def _rare(self, samples: Samples) -> npt.NDArray[np.int64]:
        """The row numbers of the rare test samples, the rarest first."""
        import torch

        known = samples.train_x[np.flatnonzero(samples.train_y == self.source)].flatten(1).double()
        rows = np.flatnonzero(samples.test_y == self.source)
        if len(rows) < self.count or not len(known):
            raise ParameterError(
                f"EdgeCase: `count` should be at most the number of test samples of class {self.source}, of which the "
                f"training data have some. Found count={self.count}, {len(rows)} in the test set, {len(known)} in the "
                "training data."
            )
        distances = torch.cdist(samples.test_x[rows].flatten(1).double(), known)
        nearest = distances.topk(min(NEIGHBOURS, len(known)), largest=False).values.mean(dim=1).cpu().numpy()
        return rows[np.argsort(-nearest, kind="stable")[: self.count]]
