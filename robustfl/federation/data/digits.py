"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.labels import stratified_split


@dataclass(frozen=True, kw_only=True)
class Digits(Data):
    """The handwritten digits of scikit-learn: 1797 grey images [1, 8, 8] in [0, 1]. They need no file.

    Reference: Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.
    """

    layout: ClassVar[tuple[tuple[int, ...], int] | None] = ((1, 8, 8), 10)

    test_fraction: Annotated[float, Gt(0), Lt(1), Doc("share of the samples kept for the test")] = 0.25
    split_seed: Annotated[int, Ge(0), Doc("seed of the division into training and test")] = 0

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        table = _digits()
        x = (table[:, :-1].reshape(-1, 1, 8, 8) / 16).astype(np.float32)  # [1797, 1, 8, 8]; grey levels are 0 to 16
        y = table[:, -1].astype(np.int64)
        train, test = stratified_split(y, self.test_fraction, self.split_seed)
        return Dataset(
            name=self.name,
            train_x=x[train],
            train_y=y[train],
            test_x=x[test],
            test_y=y[test],
            classes=tuple("0123456789"),
        )


def _digits() -> NDArray[np.float64]:
    """The table [1797, 65] of scikit-learn: 64 grey levels and the digit.

    Its file is read without the package, whose import takes longer than a trial; from the package if it is elsewhere.
    """
    found = find_spec("sklearn")
    for folder in () if found is None else found.submodule_search_locations or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
