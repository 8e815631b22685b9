"""Label flipping: wrong labels in the training data of malicious clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import DataPoisoning, Knowledge
from robustfl.threats.attack import Labels


@dataclass(frozen=True, kw_only=True)
class LabelFlip(DataPoisoning):
    """Label flip: malicious clients train as honest clients do, but on data with wrong labels.

    Formula: C is the number of classes. Mode ``reverse`` makes ``C - 1 - y`` of a label y, and ``cyclic`` makes
    ``(y + 1) mod C`` of it. ``random`` draws a uniform class once per sample. ``targeted`` makes `target` of `source`
    and leaves the other classes as they are. ``swap`` exchanges `source` and `target`.
    With `only_flipped`, a malicious client trains only on the samples whose label it changed, if it has any.

    Knowledge: the malicious clients' own data.

    References
    ----------
    V. Tolpegin, S. Truex, M. E. Gursoy, L. Liu. Data Poisoning Attacks Against Federated Learning Systems.
    ESORICS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import LabelFlip
    >>> LabelFlip().poison_labels(np.array([0, 1, 9]), 10, np.random.default_rng(0)).tolist()
    [9, 8, 0]
    """

    reference: ClassVar[str] = (
        "Tolpegin et al., Data Poisoning Attacks Against Federated Learning Systems, ESORICS 2020"
    )
    unfit: ClassVar[str] = (
        "as the only attack: malicious clients still train as honest ones do, so nothing that they could send on "
        "purpose is tried"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    mode: Annotated[Literal["reverse", "cyclic", "random", "targeted", "swap"], Doc("how labels change")] = "reverse"
    source: Annotated[int, Ge(0), Doc("class that is relabelled in modes targeted and swap")] = 0
    target: Annotated[int, Ge(0), Doc("class that `source` becomes in modes targeted and swap")] = 1
    fraction: Annotated[float, Gt(0), Le(1), Doc("chance that a sample is relabelled")] = 1.0
    only_flipped: Annotated[bool, Doc("whether malicious clients train on the relabelled samples alone")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._aimed and self.source == self.target:
            raise ParameterError(f"LabelFlip: `target` should differ from `source`. Found both {self.source}.")

    def require_data(self, shape: tuple[int, ...], classes: int) -> None:
        if self._aimed and max(self.source, self.target) >= classes:
            found = f"source={self.source}, target={self.target} with {classes} classes"
            raise ParameterError(f"LabelFlip: `source` and `target` should be classes of the data. Found {found}.")

    def poison_labels(self, labels: Labels, classes: int, rng: np.random.Generator) -> Labels:
        self.require_data((), classes)
        touched = rng.random(len(labels)) < self.fraction
        if self.mode == "reverse":
            flipped = classes - 1 - labels
        elif self.mode == "cyclic":
            flipped = (labels + 1) % classes
        elif self.mode == "random":
            flipped = rng.integers(classes, size=len(labels))
        else:
            flipped = np.where(labels == self.source, self.target, labels)
            if self.mode == "swap":
                flipped = np.where(labels == self.target, self.source, flipped)
        return np.where(touched, flipped, labels).astype(np.int64)

    def used(self, labels: Labels, poisoned: Labels) -> npt.NDArray[np.bool_]:
        return poisoned != labels if self.only_flipped else super().used(labels, poisoned)

    def confusion(self) -> tuple[int, int] | None:
        return (self.source, self.target) if self._aimed else None

    @property
    def _aimed(self) -> bool:
        """Whether the mode uses `source` and `target`."""
        return self.mode in ("targeted", "swap")
