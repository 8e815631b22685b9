"""The border between rules and arithmetic: everything computed on a block of columns is one of these operations.

There are three versions with the same results: `Host` in plain numpy (module `host`), `Compiled` in numba (module
`compiled_host`), and `Device` for tensors on an accelerator (module `device`), which never copies the matrix to the
host. Geometry is accumulated in float64.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy array or a torch tensor; `kernels_for` (module `choice`) decides once which of the two."""

Floats = NDArray[np.float64]


class Kernels(Protocol):
    """The operations that rules may use on a block of columns ``[n, b]``, and on vectors ``[b]`` or ``[d]``."""

    def width(self, n: int) -> int:
        """The number of columns of `n` rows in one block. It depends on `n` alone, so that sums keep their order."""

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        """Largest magnitude and sum of squares of each row, both [n]; a row with NaN has a NaN magnitude."""

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        """Inner products [p, p] of the rows, the origin and the extra rows [e, b], relative to `reference` [b]."""

    def combine(self, weights: Floats, block: Array) -> Array:
        """`weights @ block`: [m, n] x [n, b] -> [m, b], or [n] x [n, b] -> [b]."""

    def median(self, block: Array, *, exact: bool = False) -> Array:
        """The middle value of each column, or the average of the middle two for an even number of rows.

        With `exact` it stays float64 in place of the type of the block, as the centre of :meth:`mean_around` should:
        rounding moves a centre by up to half the distance of neighbouring numbers, and other values are then nearest.
        """

    def trimmed_mean(self, block: Array, f: int, *, exact: bool = False) -> Array:
        """The mean of each column without its `f` smallest and `f` largest values; `exact` as for :meth:`median`."""

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        """The mean of the `count` values of each column that are nearest to `centre` [b]; ties: the lower row.

        The centre may be float64 for a block of any type, and distances are those of float64.
        """

    def sign_sum(self, block: Array) -> Array:
        """How many more positive than negative values each column has, as a float; zeros count as neither."""

    def sign_counts(self, block: Array) -> Floats:
        """How many positive and how many negative values each row has, [n, 2]."""

    def inner(self, block: Array, vector: Array) -> Floats:
        """Inner products [n] of the rows with `vector` [b]."""

    def concatenate(self, vectors: list[Array]) -> Array:
        """The vectors as one vector, one after the other."""

    def stack(self, vectors: list[Array]) -> Array:
        """The vectors as the rows of one matrix."""

    def empty(self, shape: tuple[int, ...], working: str) -> Array:
        """An uninitialised array for a result, on the device where the kernels work."""

    def place(self, vector: Array, working: str) -> Array:
        """The vector on the device where the kernels work; it may come from elsewhere, such as a saved state."""

    def is_finite(self, vector: Array) -> bool:
        """Whether every entry is finite."""


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor. This imports no torch: a program with tensors has imported it already."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def column_blocks(columns: int, size: int) -> Iterator[slice]:
    """Consecutive slices that cover `columns` columns."""
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))
