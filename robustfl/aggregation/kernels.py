"""The seam between the rules and the arithmetic: whatever is computed on a block of columns is one of these operations.

Three versions with the same results: :class:`Host` in plain numpy, `Compiled` in numba (module `host`), and `Device`
for tensors on an accelerator (module `device`), which never copies the matrix to the host. Geometry is accumulated in
float64.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy array or a torch tensor; which of them is decided once, by :func:`kernels_for`."""

Floats = NDArray[np.float64]

COMPILE_FROM = 1 << 14
"""Smallest matrix, in numbers, that is worth the compiled kernels: below, calls cost more than the arithmetic."""


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


class Host:
    """The operations in numpy."""

    def width(self, n: int) -> int:
        return _power_of_two(1 << 20, n, 1 << 10, 1 << 14)

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        part = block.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(part.max(axis=1), -part.min(axis=1)), np.einsum("ij,ij->i", part, part)

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        points = [block, np.zeros((1, block.shape[1])), *([] if extras is None else [extras])]
        part = np.concatenate(points, dtype=np.float64)
        part -= reference
        gram: Floats = part @ part.T
        return gram

    def combine(self, weights: Floats, block: Array) -> Array:
        return (weights @ block.astype(np.float64, copy=False)).astype(block.dtype, copy=False)

    def median(self, block: Array) -> Array:
        n, ordered = len(block), _sorted_columns(block)
        return ordered[:, n // 2] if n % 2 else (ordered[:, n // 2 - 1] + ordered[:, n // 2]) / 2

    def trimmed_mean(self, block: Array, f: int) -> Array:
        kept = _sorted_columns(block)[:, f : len(block) - f]
        return kept.mean(axis=1, dtype=np.float64).astype(block.dtype, copy=False)

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        distances = np.abs(block.astype(np.float64) - centre)
        nearest = np.argsort(distances, axis=0, kind="stable")[:count]
        kept = np.take_along_axis(block, nearest, axis=0)
        return kept.mean(axis=0, dtype=np.float64).astype(block.dtype, copy=False)

    def sign_sum(self, block: Array) -> Array:
        return np.sign(block).sum(axis=0, dtype=block.dtype)

    def sign_counts(self, block: Array) -> Floats:
        return np.stack([(block > 0).sum(axis=1), (block < 0).sum(axis=1)], axis=1).astype(np.float64)

    def inner(self, block: Array, vector: Array) -> Floats:
        products: Floats = block.astype(np.float64, copy=False) @ vector.astype(np.float64, copy=False)
        return products

    def concatenate(self, vectors: list[Array]) -> Array:
        return np.concatenate(vectors)

    def stack(self, vectors: list[Array]) -> Array:
        return np.stack(vectors)

    def empty(self, shape: tuple[int, ...], working: str) -> Array:
        return np.empty(shape, dtype=working)

    def place(self, vector: Array, working: str) -> Array:
        host = vector.detach().cpu().numpy() if is_tensor(vector) else np.asarray(vector)
        return host.astype(working, copy=False)

    def is_finite(self, vector: Array) -> bool:
        return bool(np.isfinite(vector).all())


def _power_of_two(numbers: int, n: int, least: int, most: int) -> int:
    """The power of two of columns that makes about `numbers` numbers in `n` rows, within bounds."""
    return int(min(max(1 << (numbers // n).bit_length() - 1 if n <= numbers else least, least), most))


def _sorted_columns(block: Array) -> Array:
    """The columns of [n, b] as sorted rows [b, n]: contiguous values sort several times faster."""
    return np.sort(np.ascontiguousarray(block.T), axis=1)


def kernels_for(device: str | None, size: int) -> Kernels:
    """The version of the operations for a matrix of `size` numbers that lives on `device`, None being the host."""
    if device is not None:
        from robustfl.aggregation.device import Device

        return Device(device)
    if size < COMPILE_FROM or not _has_numba():
        return Host()
    from robustfl.aggregation.host import Compiled

    return Compiled()


@cache
def _has_numba() -> bool:
    """Platforms without numba, and programs that set ROBUSTFL_COMPILED=0, use numpy throughout."""
    return os.environ.get("ROBUSTFL_COMPILED", "1") != "0" and find_spec("numba") is not None


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor, without importing torch: a program with tensors has imported it already."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
