"""Where the columns of the update matrix come from: one block of columns after the other, in the working type.

A rule never sees the matrix as a whole, so the matrix need not exist as a whole. It may be an array, a file that is
mapped into memory, the leaves of many state dicts, or a sequence of blocks that a function makes anew for every
reading. Only the current blocks are copied.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from robustfl.aggregation.kernels.base import Array, column_blocks, is_tensor
from robustfl.errors import UpdatesError

Piece = tuple[slice, Callable[[], Array]]
"""Columns, and a function that returns their values [n, b]; it is called in a worker thread, which does the copying."""

RESIDENT = 1 << 26
"""Number of bytes of a mapped file that are read before its pages are given back to the system."""


class Reader(Protocol):
    """`n` rows and `d` columns of floating-point numbers, read in blocks of columns."""

    n: int
    d: int
    working: str
    """The type of the arithmetic: float32 or float64."""
    device: str | None
    """The accelerator that holds the values, or None for the host."""

    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        """All columns in order, `size` at a time, of the given rows or of all rows.

        A stream of blocks may make smaller pieces.
        """


@dataclass
class Dense:
    """A matrix [n, d] in memory, or in the file `mapped`, of any floating-point type."""

    matrix: Array
    working: str
    mapped: mmap.mmap | None = None

    def __post_init__(self) -> None:
        self.n, self.d = (int(size) for size in self.matrix.shape)
        self.device = device_of(self.matrix)

    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        chosen = None if rows is None else list(rows)
        resident = 0
        for columns in column_blocks(self.d, size):
            yield columns, partial(self._values, chosen, columns)
            resident += size * self.n * self.matrix.itemsize
            if self.mapped is not None and (resident > RESIDENT or columns.stop == self.d):
                self.mapped.madvise(mmap.MADV_DONTNEED)
                resident = 0

    def _values(self, rows: list[int] | None, columns: slice) -> Array:
        part = self.matrix[:, columns]
        return converted(part if rows is None else part[rows], self.working)


def mapped_file(matrix: Array) -> mmap.mmap | None:
    """The file of a `np.memmap`, or None; also None for a private copy, whose pages cannot be dropped without loss."""
    base = matrix
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            shared = base.mode != "c" and hasattr(mmap, "MADV_DONTNEED")
            file = base.base
            while isinstance(file, np.ndarray):
                file = file.base
            return file if shared and isinstance(file, mmap.mmap) else None
        base = base.base
    return None


@dataclass
class Leaves:
    """Updates of many arrays each, such as state dicts: row i consists of the leaves of `entries[i]`, flattened."""

    entries: list[list[Array]]
    working: str
    device: str | None = None

    def __post_init__(self) -> None:
        self.n = len(self.entries)
        self._ends = np.cumsum([_size(leaf) for leaf in self.entries[0]])
        self.d = int(self._ends[-1])
        self._flat: list[list[Array]] = [[flattened(leaf) for leaf in entry] for entry in self.entries]

    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        chosen = list(range(self.n)) if rows is None else list(rows)
        for columns in column_blocks(self.d, size):
            yield columns, partial(self.block, chosen, columns)

    def vector(self, row: int) -> Array:
        """One row [d] as a whole; empty where this process holds no column."""
        values: Array = self.block([row], slice(0, self.d))[0]
        return values

    def block(self, rows: list[int], columns: slice) -> Array:
        """The values of some rows in some columns, in the working type and in memory of their own."""
        width = columns.stop - columns.start
        values = self._empty(len(rows), width)
        first = int(np.searchsorted(self._ends, columns.start, side="right"))
        for place, row in enumerate(rows):
            leaf, at = first, 0
            while at < width:
                start = columns.start + at - (int(self._ends[leaf - 1]) if leaf else 0)
                part = self._flat[row][leaf][start : start + width - at]
                values[place, at : at + len(part)] = self._local(part)
                at, leaf = at + len(part), leaf + 1
        return values

    def _empty(self, n: int, width: int) -> Array:
        if self.device is None:
            return np.empty((n, width), dtype=self.working)
        import torch

        return torch.empty((n, width), dtype=getattr(torch, self.working), device=self.device)

    def _local(self, part: Array) -> Array:
        """The values on the device of the block; some updates may be on the host and others on an accelerator."""
        if self.device is None:
            return converted(part.cpu() if is_tensor(part) else part, self.working)
        import torch

        return part if is_tensor(part) else torch.as_tensor(np.ascontiguousarray(part))


@dataclass
class Relative:
    """The rows of another reader minus one vector, block by block: no matrix of differences ever exists."""

    rows: Reader
    base: Leaves
    """A reader of one row, the vector that is subtracted."""

    def __post_init__(self) -> None:
        self.n, self.d = self.rows.n, self.rows.d
        self.working, self.device = self.rows.working, self.rows.device

    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        for columns, values in self.rows.pieces(rows, size):
            yield columns, partial(self._difference, values, columns)

    def _difference(self, values: Callable[[], Array], columns: slice) -> Array:
        return subtracted(values(), self.base.block([0], columns))


class Columns(ABC):
    """Updates that are given as a :class:`Reader`; a rule can be called with one in place of an array."""

    n: int
    d: int
    working: str
    device: str | None

    @abstractmethod
    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        """The same as :meth:`Reader.pieces`."""

    @property
    @abstractmethod
    def row(self) -> Array:
        """An array with the shape and type of one row, which the result will have, too; its values are not read."""


class ColumnBlocks(Columns):
    """Updates given as consecutive blocks of columns, for matrices that are larger than memory.

    Parameters
    ----------
    blocks : a function that returns an iterable of blocks [n, b] (numpy arrays or CPU tensors of any widths), or a
        container of such blocks. A generator can be read only once. This is enough only for column-wise rules, because
        geometric rules read twice, and a hostile row costs one more reading.
    shape : (n, d); the columns of all blocks together must be d
    dtype : floating-point type of the result

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation import ColumnBlocks
    >>> from robustfl.defenses import Median
    >>> files = [np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]), np.array([[7.0], [8.0], [9.0]])]
    >>> Median()(ColumnBlocks(lambda: iter(files), shape=(3, 3), dtype="float64")).tolist()
    [3.0, 4.0, 8.0]
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[Array]] | Iterable[Array],
        *,
        shape: tuple[int, int],
        dtype: str = "float32",
    ) -> None:
        self.n, self.d = (int(size) for size in shape)
        if min(self.n, self.d) < 1:
            raise UpdatesError(f"`shape` should be (n, d), both at least 1. Found shape={tuple(shape)}.")
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise UpdatesError(f"`dtype` should be a floating-point type. Found dtype={dtype!r}.")
        self.working = "float64" if self.dtype.itemsize > 4 else "float32"
        self.device = None
        self._blocks = blocks
        self._spent = False

    @property
    def row(self) -> Array:
        return np.broadcast_to(np.zeros((), dtype=self.dtype), (self.d,))

    def __repr__(self) -> str:
        return f"ColumnBlocks(shape=({self.n}, {self.d}), dtype={self.dtype.name!r})"

    def pieces(self, rows: Sequence[int] | None, size: int) -> Iterator[Piece]:
        start = 0
        for number, block in enumerate(self._open()):
            values = self._checked(block, number, start)
            for columns in column_blocks(values.shape[1], size):
                part = values[:, columns] if rows is None else values[list(rows), columns]
                yield slice(start, start + part.shape[1]), partial(converted, part, self.working)
                start += part.shape[1]
        if start != self.d:
            raise UpdatesError(f"The blocks should have {self.d} columns together. Found {start}.")

    def _open(self) -> Iterator[Array]:
        blocks = self._blocks() if callable(self._blocks) else self._blocks
        iterator = iter(blocks)
        if iterator is blocks and not callable(self._blocks):
            if self._spent:
                raise UpdatesError(
                    "The column blocks came from a generator, which can be read once; this rule, or a hostile row, "
                    "needs another reading. Pass a function that returns a fresh iterator: ColumnBlocks(lambda: ...)."
                )
            self._spent = True
        return iterator

    def _checked(self, block: Array, number: int, start: int) -> Array:
        fits = getattr(block, "ndim", 0) == 2 and len(block) == self.n and start + block.shape[1] <= self.d
        if not fits:
            found = f"shape {list(block.shape)}" if hasattr(block, "shape") else type(block).__name__
            raise UpdatesError(
                f"Block {number} should be [{self.n}, b] with at most {self.d - start} columns. Found {found}."
            )
        if device_of(block) is not None or not is_floating(block):
            raise UpdatesError(
                f"Block {number} should hold floating-point numbers on the host. Found {block.dtype}"
                f"{'' if device_of(block) is None else f' on {block.device}'}."
            )
        return block if is_tensor(block) else np.asarray(block)


def converted(values: Array, working: str) -> Array:
    """`values` in the working type; CPU tensors become numpy arrays, without a copy if the type is the same."""
    if is_tensor(values):
        import torch

        if values.requires_grad:
            values = values.detach()
        if values.dtype != getattr(torch, working):
            values = values.to(getattr(torch, working))
        return values.numpy() if values.device.type == "cpu" else values
    if values.dtype == working:
        return values
    with np.errstate(over="ignore"):
        return values.astype(working)


def subtracted(values: Array, base: Array) -> Array:
    """The difference; where it is too large for its type it is not finite, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values - base


def flattened(leaf: Array) -> Array:
    """One leaf as a vector, which is a view if the leaf's memory layout allows."""
    return leaf.detach().reshape(-1) if is_tensor(leaf) else np.asarray(leaf).reshape(-1)


def device_of(values: Array) -> str | None:
    """The accelerator that holds the `values`, or None for the host."""
    if not is_tensor(values) or values.device.type == "cpu":
        return None
    return str(values.device)


def is_floating(values: Array) -> bool:
    return bool(values.dtype.is_floating_point) if is_tensor(values) else values.dtype.kind == "f"


def _size(leaf: Array) -> int:
    return int(np.prod(leaf.shape, dtype=np.int64))
