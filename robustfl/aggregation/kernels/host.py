"""The version of the operations in plain numpy."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats, is_tensor


class WholeGram(NamedTuple):
    """What a single call finds out about all rows of one block.

    `extent` is that of :meth:`Host.row_extent`. If the rows are not `clean`, the other fields have no meaning. Else
    `centred` and `squared_distances` are those of a Gram around the typical row, which may be `far` from most rows.
    """

    extent: tuple[Floats, Floats]
    clean: bool
    centred: Floats
    squared_distances: Floats
    far: bool


class Host:
    """The operations in numpy."""

    compiled: ClassVar[bool] = False
    """Whether steps over the rows themselves are compiled, so that they may be quicker than a Gram."""

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

    def fits(self, block: Array, limit: float) -> bool:
        """Whether no value of the block is larger than `limit` in magnitude; NaN is larger than everything."""
        with np.errstate(invalid="ignore"):
            return bool(float(block.max()) <= limit and -float(block.min()) <= limit)

    def clean_combine(self, weights: Floats, block: Array, limit: float) -> Array | None:
        """:meth:`combine` for one output if the block :meth:`fits`, else None."""
        return self.combine(weights, block) if self.fits(block, limit) else None

    def clean_gram(
        self, block: Array, limit: float, extras: Array | None, alike: float, ratio: float, rounding: float
    ) -> WholeGram | None:
        """The Gram in one call, or None where that is no quicker than several; see `compiled.clean_gram`."""
        return None

    def clipped(self, block: Array, center: Array, iterations: int, radius: float) -> tuple[Array, Floats] | None:
        """Centered clipping without a Gram, or None without compiled steps; see `compiled.clipped`."""
        return None

    def median(self, block: Array, *, exact: bool = False) -> Array:
        n, ordered = len(block), _sorted_columns(block.astype(np.float64) if exact else block)
        return ordered[:, n // 2] if n % 2 else (ordered[:, n // 2 - 1] + ordered[:, n // 2]) / 2

    def trimmed_mean(self, block: Array, f: int, *, exact: bool = False) -> Array:
        kept = _sorted_columns(block)[:, f : len(block) - f]
        return kept.mean(axis=1, dtype=np.float64).astype(np.float64 if exact else block.dtype, copy=False)

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
        return all_finite(vector)


def all_finite(vector: Floats) -> bool:
    """Whether every entry is finite; counting takes half the time that `all` takes for a short vector."""
    return bool(np.count_nonzero(np.isfinite(vector)) == vector.size)


def _power_of_two(numbers: int, n: int, least: int, most: int) -> int:
    """A power of two, between `least` and `most`: so many columns of `n` rows hold about `numbers` numbers."""
    return int(min(max(1 << (numbers // n).bit_length() - 1 if n <= numbers else least, least), most))


def _sorted_columns(block: Array) -> Array:
    """The columns of [n, b] as sorted rows [b, n]: contiguous values sort several times faster."""
    return np.sort(np.ascontiguousarray(block.T), axis=1)
