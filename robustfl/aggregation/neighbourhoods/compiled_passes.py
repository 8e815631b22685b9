"""The passes over the letters in compiled kernels, one block of columns at a time, without the interpreter lock.

Kernels see whole vectors of columns alone (:mod:`~robustfl.aggregation.kernels.compiled_vectors`). The last columns of
a block, which fill none, are copied and filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, column_blocks
from robustfl.aggregation.kernels.compiled import aligned
from robustfl.aggregation.kernels.compiled_vectors import LINE, lanes
from robustfl.aggregation.kernels.sorting_networks import rank_network
from robustfl.aggregation.neighbourhoods import compiled_loops as loops
from robustfl.aggregation.neighbourhoods.compiled_ranks import MOST_ROWS, Ranks, unrolled_ranks
from robustfl.aggregation.neighbourhoods.host_passes import NO_ROWS, totals

SUMMED = 1024
"""Columns whose squares are summed in float32: wide enough to hide the sum over a vector, and 200 rows fit a cache."""

STREAMED = 1 << 24
"""Bytes from which on results are written past the caches, which they would fill several times over."""

UNROLLED = 1 << 22
"""Bytes of models in one mixing from which on a kernel of their own pays for ranks of few rows: it takes 0.2 s to
compile, and 4 ms to load later on, and spares about 0.5 ns a byte."""

NO_MAPS = np.zeros((0, 0, 0))


def peaks(block: Array, rows: Any) -> Floats:
    """The largest magnitude [r] of each of the rows; that of a row with NaN is NaN."""
    found = np.zeros(len(rows))
    for part, _ in _parts(block):
        loops.peaks(*_memory(part), rows, np.zeros(lanes(part.dtype), part.dtype), found)
    return found


def surveyed_distances(block: Array, rows: Any, pairs: Any, starts: Any) -> tuple[Floats, Floats]:
    """:func:`peaks` of some rows [r] and :func:`squared_distances` of some pairs [e], not wide ones, in one reading.

    `starts` are the :func:`runs` of the pairs.
    """
    largest, found = np.zeros(len(rows)), np.zeros(len(pairs))
    for part, _ in _parts(block):
        lane, sums = np.zeros(lanes(part.dtype), part.dtype), np.zeros(lanes(part.dtype), part.dtype)
        origin = np.zeros(min(SUMMED, part.shape[1]), part.dtype)
        loops.surveyed_squares(*_memory(part), rows, lane, largest, origin, starts, pairs, sums, found)
    return largest, found


def squared_distances(block: Array, pairs: Any, wide: bool) -> Floats:
    """``||x_p - x_q||^2`` [e] for pairs [e, 2] of rows; a row with the number -1 is the origin.

    The sum over :data:`SUMMED` columns of a float32 block is float32, unless it has to be `wide`. Pairs with the same
    first row are read faster where they follow each other, and all pairs are where pairs of the same rows do.
    """
    if not wide:
        return surveyed_distances(block, NO_ROWS, pairs, runs(pairs))[1]
    found = np.zeros(len(pairs))
    for columns in column_blocks(block.shape[1], SUMMED):
        for part, _ in _parts(block[:, columns]):
            sums = np.zeros(lanes(part.dtype))
            loops.wide_squares(*_memory(part), np.zeros(part.shape[1], part.dtype), pairs, sums, found)
    return found


def runs(pairs: Any) -> NDArray[np.int64]:
    """Where the pairs begin that have their first row in common with the one before, and where all of them end."""
    changes = np.flatnonzero(np.diff(pairs[:, 0])) + 1
    return np.concatenate([[0], changes, [len(pairs)]]).astype(np.int64)


def lead(out: Array, first: int = 0) -> int:
    """How many columns of `out` from `first` on come before what can be written past the caches; 0 if nothing can."""
    pitch = out.shape[1] * out.itemsize
    if out.nbytes < STREAMED or pitch % LINE or not out.flags.c_contiguous:
        return 0
    return int(-(out.ctypes.data + first * out.itemsize) % LINE // out.itemsize)


def combine(
    block: Array,
    starts: Any,
    rows: Any,
    weights: Floats,
    lines: Any,
    first: int,
    out: Array,
    suspects: Any = NO_ROWS,
    width: int = 1 << 62,
) -> Floats:
    """Row ``lines[i]`` of `out` gets the sum of ``weights[e] x_(rows[e])`` over ``starts[i] <= e < starts[i + 1]``.

    Column c of the block goes to column ``first + c`` of `out`, which is contiguous. The sum is taken around the first
    row of a line, so rows that are all equal give exactly that row. Returns the :func:`peaks` of the `suspects`, at
    which it looks in chunks of `width` columns, each while it is in the cache.
    """
    shares, scales = weights.astype(block.dtype), totals(starts, weights).astype(block.dtype)
    largest, lane = np.zeros(len(suspects)), np.zeros(lanes(block.dtype), block.dtype)
    for part, columns in _parts(block, lead(out, first)):
        with _Target(part, columns, lines, first, out) as target:
            loops.surveyed_sums(
                *_memory(part), width, suspects, lane, largest, starts, rows, shares, scales, *target.memory
            )
    return largest


def medians(block: Array, index: Any, maps: Floats | None, lines: Any, first: int, out: Array) -> None:
    """Row ``lines[i]`` of `out` gets the medians by columns of the rows ``index[i]``, or of ``maps[i]`` times these."""
    count = index.shape[1] if maps is None else maps.shape[1]
    _ranks(block, index, maps, (count - 1) // 2, count // 2, True, lines, first, out)


def trimmed_means(block: Array, index: Any, maps: Floats | None, f: int, lines: Any, first: int, out: Array) -> None:
    """As :func:`medians`, the means without the f smallest and the f largest values of each column; 2f < m."""
    count = index.shape[1] if maps is None else maps.shape[1]
    _ranks(block, index, maps, f, count - 1 - f, False, lines, first, out)


def _ranks(
    block: Array, index: Any, maps: Floats | None, low: int, high: int, middle: bool, lines: Any, first: int, out: Array
) -> None:
    count = index.shape[1] if maps is None else maps.shape[1]
    given = NO_MAPS if maps is None else np.ascontiguousarray(maps)
    # a block is a view: from row to row lies a whole model, whatever part of it is here
    unrolled = maps is None and count <= MOST_ROWS and len(index) * block.strides[0] >= UNROLLED
    network, ranks = rank_network(count, low, high), Ranks(count, low, high, middle)
    tile = aligned(count * lanes(block.dtype), block.dtype)
    for part, columns in _parts(block, lead(out, first)):
        with _Target(part, columns, lines, first, out) as target:
            if unrolled:
                unrolled_ranks(*_memory(part)[:3], index, ranks, *target.memory)
                continue
            loops.ranks(*_memory(part), index, given, count, low, high, middle, network, tile, *target.memory)


def _parts(block: Array, lead: int = 0) -> Iterator[tuple[Array, slice]]:
    """The block's whole vectors in place, and copies of the columns before and behind them that are as wide as one.

    `lead` columns, fewer than a vector has, are before them.
    """
    columns, count = block.shape[1], lanes(block.dtype)
    start = min(lead, columns)
    stop = columns - (columns - start) % count
    if start:
        yield _filled(block[:, :start], count), slice(0, start)
    if stop > start:
        yield block[:, start:stop], slice(start, stop)
    if columns > stop:
        yield _filled(block[:, stop:], count), slice(stop, columns)


def _filled(part: Array, count: int) -> Array:
    filled = np.zeros((len(part), count), part.dtype)
    filled[:, : part.shape[1]] = part
    return filled


def _memory(part: Array) -> tuple[int, int, int, int]:
    """The address, bytes from row to row, columns, and columns per vector. The caller keeps `part` alive."""
    return part.ctypes.data, part.strides[0], part.shape[1], lanes(part.dtype)


def _fixed(lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """A view that cannot be written to: numba would compile a kernel anew for lines that can be."""
    view = lines.view()
    view.setflags(write=False)
    return view


class _Target:
    """Where the results of a part go: straight into `out`, or through a buffer if the part was filled up."""

    def __init__(self, part: Array, columns: slice, lines: NDArray[np.int64], first: int, out: Array) -> None:
        self.lines, self.out = lines, out
        self.columns = slice(first + columns.start, first + columns.stop)
        self.buffer: Array | None = None
        self.memory: tuple[Any, ...]
        if columns.stop - columns.start == part.shape[1]:
            self.memory = out.reshape(-1), out.shape[1], self.columns.start, _fixed(lines), out.nbytes >= STREAMED
        else:
            self.buffer = np.empty((len(lines), part.shape[1]), part.dtype)
            self.memory = self.buffer.reshape(-1), part.shape[1], 0, _fixed(np.arange(len(lines))), False

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *error: object) -> None:
        if self.buffer is not None:
            self.out[self.lines, self.columns] = self.buffer[:, : self.columns.stop - self.columns.start]
