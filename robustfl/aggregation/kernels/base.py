"""The seam between the rules and the arithmetic: whatever is computed on a block of columns is one of these operations.

Three versions with the same results: :class:`Host` in plain numpy, `Compiled` in numba (module `host`), and `Device`
for tensors on an accelerator (module `device`), which never copies the matrix to the host. Geometry is accumulated in
float64.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy array or a torch tensor; which of them is decided once, by :func:`kernels_for`."""

Floats = NDArray[np.float64]


class Kernels(Protocol):
    """The operations that rules may use on a block of columns ``[n, b]``, and on vectors ``[b]`` or ``[d]``."""

    def width(self, n: int) -> int:
        """Columns of `n` rows that are worth working on at a time. Depends on `n` alone: sums keep their order."""

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        """Largest magnitude and sum of squares of each row, both [n]; a row with NaN has a NaN magnitude."""

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        """Inner products [p, p] of the rows, the origin and the extra rows [e, b], relative to `reference` [b]."""

    def combine(self, weights: Floats, block: Array) -> Array:
        """`weights @ block`: [m, n] x [n, b] -> [m, b], or [n] x [n, b] -> [b]."""

    def median(self, block: Array) -> Array:
        """Middle value of each column; the average of the middle two for an even number of rows."""

    def trimmed_mean(self, block: Array, f: int) -> Array:
        """Mean of each column without its `f` smallest and `f` largest values."""

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        """Mean of the `count` values of each column that are nearest to `centre` [b]; ties: the lower row."""

    def sign_sum(self, block: Array) -> Array:
        """How many more positive than negative values each column has, as a float; zeros count as neither."""

    def sign_counts(self, block: Array) -> Floats:
        """How many positive and how many negative values each row has, [n, 2]."""

    def inner(self, block: Array, vector: Array) -> Floats:
        """Inner products [n] of the rows with `vector` [b]."""

    def concatenate(self, vectors: list[Array]) -> Array:
        """Vectors, one after the other."""

    def stack(self, vectors: list[Array]) -> Array:
        """Vectors as the rows of one matrix."""

    def empty(self, shape: tuple[int, ...], working: str) -> Array:
        """Room for a result where the kernels work."""

    def place(self, vector: Array, working: str) -> Array:
        """A vector from anywhere, such as a state saved on another machine, where the kernels work."""

    def is_finite(self, vector: Array) -> bool:
        """Whether every entry is finite."""


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor, without importing torch: a program with tensors has imported it already."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def column_blocks(columns: int, size: int) -> Iterator[slice]:
    """Consecutive slices that cover `columns` columns."""
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))
