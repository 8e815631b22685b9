"""The seam between the rules and the arithmetic: every pass over an ``[n, d]`` matrix happens in this module.

One small set of operations, in two versions: :class:`Host` for numpy arrays (CPU tensors share their memory with one)
and :class:`Device` for tensors on an accelerator, which never copies the matrix to the host. Geometry is accumulated
in float64 over column blocks.
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

BLOCK = 8192
"""Columns that are worked on at a time: 100 rows of float64 then take 6.5 MB."""


class Kernels(Protocol):
    """The operations that rules may use on a matrix ``[n, d]`` or on a block of its columns ``[n, b]``."""

    @property
    def block(self) -> int:
        """Columns that are worth working on at a time."""

    def row_extent(self, matrix: Array) -> tuple[Floats, Floats]:
        """Largest magnitude and squared norm of each row, both [n]; a row with NaN has a NaN magnitude."""

    def centred_gram(self, points: list[Array], reference: Array) -> Floats:
        """Inner products [p, p] of all rows of `points` after subtracting `reference` [d]."""

    def combine(self, weights: Floats, matrix: Array) -> Array:
        """`weights @ matrix`: [m, n] x [n, d] -> [m, d], or [n] x [n, d] -> [d]."""

    def median(self, block: Array) -> Array:
        """Middle value of each column; the average of the middle two for an even number of rows."""

    def trimmed_mean(self, block: Array, f: int) -> Array:
        """Mean of each column without its `f` smallest and `f` largest values."""

    def join(self, blocks: list[Array]) -> Array:
        """Column results, in order, as one vector [d]."""

    def stack(self, vectors: list[Array]) -> Array:
        """Vectors [d] as the rows of one matrix."""

    def zeros(self, size: int, like: Array) -> Array:
        """A vector of zeros with the type and device of `like`."""

    def place(self, vector: Array, like: Array) -> Array:
        """A vector from anywhere, such as a state saved on another machine, where `like` lives."""

    def take(self, matrix: Array, rows: list[int]) -> Array:
        """The chosen rows, as a new matrix."""

    def is_finite(self, vector: Array) -> bool:
        """Whether every entry is finite."""


def column_blocks(columns: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive slices that cover `columns` columns."""
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))


class Host:
    """The operations on numpy arrays."""

    block = BLOCK

    def row_extent(self, matrix: Array) -> tuple[Floats, Floats]:
        peak, square = np.zeros(len(matrix)), np.zeros(len(matrix))
        for block in column_blocks(matrix.shape[1]):
            part = matrix[:, block].astype(np.float64)
            np.maximum(peak, np.maximum(part.max(axis=1), -part.min(axis=1)), out=peak)
            with np.errstate(over="ignore", invalid="ignore"):
                square += np.einsum("ij,ij->i", part, part)
        return peak, square

    def centred_gram(self, points: list[Array], reference: Array) -> Floats:
        count = sum(len(rows) for rows in points)
        total = np.zeros((count, count))
        for block in column_blocks(len(reference)):
            part = np.concatenate([rows[:, block] for rows in points]).astype(np.float64)
            part -= reference[block]
            total += part @ part.T
        return total

    def combine(self, weights: Floats, matrix: Array) -> Array:
        return weights.astype(matrix.dtype) @ matrix

    def median(self, block: Array) -> Array:
        n, ordered = len(block), _sorted_columns(block)
        return ordered[:, n // 2] if n % 2 else (ordered[:, n // 2 - 1] + ordered[:, n // 2]) / 2

    def trimmed_mean(self, block: Array, f: int) -> Array:
        if f == 0:
            return block.mean(axis=0)
        return _sorted_columns(block)[:, f:-f].mean(axis=1)

    def join(self, blocks: list[Array]) -> Array:
        return np.concatenate(blocks)

    def stack(self, vectors: list[Array]) -> Array:
        return np.stack(vectors)

    def zeros(self, size: int, like: Array) -> Array:
        return np.zeros(size, dtype=like.dtype)

    def place(self, vector: Array, like: Array) -> Array:
        return vector.cpu().numpy() if is_tensor(vector) else np.asarray(vector)

    def take(self, matrix: Array, rows: list[int]) -> Array:
        return matrix[rows]

    def is_finite(self, vector: Array) -> bool:
        return bool(np.isfinite(vector).all())


def _sorted_columns(block: Array) -> Array:
    """The columns of [n, b] as sorted rows [b, n]: contiguous values sort several times faster."""
    return np.sort(np.ascontiguousarray(block.T), axis=1)


class Device:
    """The operations on torch tensors; used for accelerators, and written to give the host's results."""

    block = 64 * BLOCK

    def row_extent(self, matrix: Array) -> tuple[Floats, Floats]:
        import torch

        peak = torch.zeros(len(matrix), dtype=torch.float64, device=matrix.device)
        square = torch.zeros_like(peak)
        for block in column_blocks(matrix.shape[1], self.block):
            part = matrix[:, block].double()
            peak = torch.maximum(peak, part.abs().amax(dim=1))
            square += part.square().sum(dim=1)
        return peak.cpu().numpy(), square.cpu().numpy()

    def centred_gram(self, points: list[Array], reference: Array) -> Floats:
        import torch

        count = sum(len(rows) for rows in points)
        total = torch.zeros((count, count), dtype=torch.float64, device=reference.device)
        for block in column_blocks(len(reference), self.block):
            part = torch.cat([rows[:, block] for rows in points]).double() - reference[block].double()
            total += part @ part.T
        result: Floats = total.cpu().numpy()
        return result

    def combine(self, weights: Floats, matrix: Array) -> Array:
        import torch

        # float64, because the program around may allow float32 products of reduced precision
        exact = torch.as_tensor(weights, dtype=torch.float64, device=matrix.device)
        blocks = column_blocks(matrix.shape[1], self.block)
        return torch.cat([(exact @ matrix[:, block].double()).to(matrix.dtype) for block in blocks], dim=-1)

    def median(self, block: Array) -> Array:
        n = len(block)
        ordered = block.sort(dim=0).values
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n % 2 == 0 else ordered[n // 2]

    def trimmed_mean(self, block: Array, f: int) -> Array:
        if f == 0:
            return block.mean(dim=0)
        return block.sort(dim=0).values[f:-f].mean(dim=0)

    def join(self, blocks: list[Array]) -> Array:
        import torch

        return torch.cat(blocks)

    def stack(self, vectors: list[Array]) -> Array:
        import torch

        return torch.stack(vectors)

    def zeros(self, size: int, like: Array) -> Array:
        import torch

        return torch.zeros(size, dtype=like.dtype, device=like.device)

    def place(self, vector: Array, like: Array) -> Array:
        import torch

        return torch.as_tensor(vector, device=like.device)

    def take(self, matrix: Array, rows: list[int]) -> Array:
        return matrix[rows]

    def is_finite(self, vector: Array) -> bool:
        return bool(vector.isfinite().all())


def kernels_for(matrix: Array) -> Kernels:
    """The version of the operations that fits where `matrix` lives."""
    return Device() if is_tensor(matrix) else Host()


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor, without importing torch: a program with tensors has imported it already."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
