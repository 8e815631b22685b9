"""The passes over the letters in compiled kernels, one block of columns at a time, without the interpreter lock.

Kernels see whole vectors of columns alone (:mod:`~robustfl.aggregation.kernels.compiled_vectors`). The last columns of
a block, which fill none, are copied and filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, column_blocks
from robustfl.aggregation.kernels.compiled import aligned
from robustfl.aggregation.kernels.compiled_vectors import LINE, lanes
from robustfl.aggregation.kernels.sorting_networks import rank_network
from robustfl.aggregation.neighbourhoods import compiled_loops as loops
from robustfl.aggregation.neighbourhoods.compiled_ranks import (
    MOST_ROWS,
    Around,
    Ranks,
    unrolled_means_around,
    unrolled_ranks,
)
from robustfl.aggregation.neighbourhoods.compiled_streams import STRIP
from robustfl.aggregation.neighbourhoods.host_passes import NO_ROWS, totals

SUMMED = 1024
"""Columns whose squares are summed in float32: wide enough to hide the sum over a vector, and 200 rows fit a cache."""

OFTEN = 2
"""How often rows have to be read, on average, for a copy of them in a tile to pay."""

MOST_TILED = 1 << 12
"""Rows that are copied into a tile for comparisons at most: each takes :data:`SUMMED` numbers of every thread."""

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


@dataclass(frozen=True)
class Meeting:
    """Which rows are compared, and how.

    Attributes
    ----------
    suspects : [r] the rows whose largest magnitudes are wanted
    pairs : [e, 2] the pairs of rows; where they are `tiled`, the places of these in `rows`
    starts : where the pairs begin that have their first row in common with the one before, and where all of them end
    rows : the rows that are copied into a tile, the suspects first
    """

    suspects: NDArray[np.int64]
    pairs: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    tiled: bool


def meeting(suspects: Any, pairs: Any) -> Meeting:
    """What all blocks of a pass share that compares pairs of rows and looks at suspects; see :class:`Meeting`."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(pairs[:, 0])) + 1, [len(pairs)]]).astype(np.int64)
    suspects, pairs = np.asarray(suspects, np.int64), np.asarray(pairs, np.int64)
    rows = np.concatenate([suspects, np.setdiff1d(pairs[pairs >= 0], suspects)])
    tiled = pairs.size >= OFTEN * len(rows) and len(rows) <= MOST_TILED
    return Meeting(suspects, _placed(pairs, rows) if tiled else pairs, starts, rows, tiled)


def surveyed_distances(block: Array, meeting: Meeting, width: int) -> tuple[Floats, Floats]:
    """:func:`peaks` of the suspects, and :func:`squared_distances` of the pairs that are not wide, together.

    Both are those of `width` columns at a time, [c, r] and [c, e]; the last columns may be fewer.
    """
    count = -(-block.shape[1] // width)
    largest, found = np.zeros((count, len(meeting.suspects))), np.zeros((count, len(meeting.pairs)))
    wide = lanes(block.dtype)
    origin = np.zeros(min(SUMMED, -(-block.shape[1] // wide) * wide), block.dtype)
    lane, tile = aligned(4 * wide, block.dtype), aligned(len(meeting.rows) * len(origin), block.dtype)
    for number, columns in enumerate(column_blocks(block.shape[1], width)):
        for part, _ in _parts(block[:, columns]):
            compared = origin, meeting.starts, meeting.pairs, lane, found[number]
            if meeting.tiled:
                images = _images(meeting.rows, part)
                loops.tiled_squares(*_memory(part), meeting.rows, images, tile, *compared)
                np.maximum(largest[number], _largest(images, part)[: len(meeting.suspects)], out=largest[number])
            else:
                loops.surveyed_squares(*_memory(part), meeting.suspects, largest[number], *compared)
    return largest, found


def squared_distances(block: Array, pairs: Any, wide: bool) -> Floats:
    """``||x_p - x_q||^2`` [e] for pairs [e, 2] of rows; a row with the number -1 is the origin.

    The sum over :data:`SUMMED` columns of a float32 block is float32, unless it has to be `wide`. Pairs with the same
    first row are read faster where they follow each other, and all pairs are where pairs of the same rows do.
    """
    if not wide:
        narrow: Floats = surveyed_distances(block, meeting(NO_ROWS, pairs), block.shape[1])[1][0]
        return narrow
    found = np.zeros(len(pairs))
    for columns in column_blocks(block.shape[1], SUMMED):
        for part, _ in _parts(block[:, columns]):
            sums = np.zeros(lanes(part.dtype))
            loops.wide_squares(*_memory(part), np.zeros(part.shape[1], part.dtype), pairs, sums, found)
    return found


def lead(out: Array, first: int = 0) -> int:
    """How many columns of `out` from `first` on come before what can be written past the caches; 0 if nothing can."""
    pitch = out.shape[1] * out.itemsize
    if out.nbytes < STREAMED or pitch % LINE or not out.flags.c_contiguous:
        return 0
    return int(-(out.__array_interface__["data"][0] + first * out.itemsize) % LINE // out.itemsize)


@dataclass(frozen=True)
class Shares:
    """Weighted sums of rows, one a line, around the first row of each, and how they are made.

    Attributes
    ----------
    suspects : [r] the rows whose largest magnitudes are wanted
    starts : [g + 1] where the rows of each line start, and where the last ones end
    rows : the rows of all lines; where they are `tiled`, the places of these in `used`
    weights, scales : the weight of each row but for the first of each line; the sum of the weights of each line
    used : the rows that are copied into a tile, the suspects first
    turns : [g + 1] how many of the rows `used` are asked for before each line
    """

    suspects: NDArray[np.int64]
    starts: NDArray[np.uint64]
    rows: NDArray[np.int64]
    weights: Array
    scales: Array
    used: NDArray[np.int64]
    turns: NDArray[np.uint64]
    tiled: bool


def shares(suspects: Any, starts: Any, rows: Any, weights: Floats, dtype: np.dtype[Any]) -> Shares:
    """What all blocks of a pass share that sums ``weights[e] x_(rows[e])`` over ``starts[i] <= e < starts[i + 1]``."""
    suspects, rows = np.asarray(suspects, np.int64), np.asarray(rows, np.int64)
    used = np.concatenate([suspects, np.setdiff1d(rows, suspects)])
    lines, tiled = len(starts) - 1, len(rows) >= OFTEN * len(used)
    turns = np.arange(lines + 1) * len(used) // max(lines, 1) if tiled else np.zeros(lines + 1)
    return Shares(
        suspects,
        np.asarray(starts, np.uint64),
        _placed(rows, used) if tiled else rows,
        weights.astype(dtype),
        totals(starts, weights).astype(dtype),
        used,
        turns.astype(np.uint64),
        tiled,
    )


def combine(block: Array, shares: Shares, lines: Any, first: int, out: Array, width: int = 1 << 62) -> Floats:
    """Row ``lines[i]`` of `out` gets the sum of line i of the :class:`Shares`.

    Column c of the block goes to column ``first + c`` of `out`, which is contiguous. The sum is taken around the first
    row of a line, so rows that are all equal give exactly that row. Returns the :func:`peaks` of the suspects. Rows
    that few lines have are not tiled, and suspects are then looked at in chunks of `width` columns.
    """
    largest, lane = np.zeros(len(shares.suspects)), np.zeros(lanes(block.dtype), block.dtype)
    sums = shares.starts, shares.rows, shares.weights, shares.scales
    for part, columns in _parts(block, lead(out, first)):
        with _Target(part, columns, lines, first, out) as target:
            if shares.tiled:
                images = _images(shares.used, part)
                tile = aligned(len(shares.used) * STRIP // part.itemsize, part.dtype)
                loops.tiled_sums(*_memory(part)[:3], shares.used, images, tile, *sums, shares.turns, *target.memory)
                largest = np.maximum(largest, _largest(images, part)[: len(largest)])
            else:
                loops.surveyed_sums(*_memory(part), width, shares.suspects, lane, largest, *sums, *target.memory)
    return largest


def _placed(rows: NDArray[np.int64], used: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of some rows among those that are used; -1 stays what it is."""
    places = np.full(used.max(initial=0) + 2, -1)
    places[used] = np.arange(len(used))
    return np.ascontiguousarray(places[rows])


def _images(rows: NDArray[np.int64], part: Array) -> NDArray[Any]:
    """Space for the largest magnitudes of rows as integers: each has several, 16 bytes of them."""
    return np.zeros(len(rows) * 16 // part.itemsize, f"i{part.itemsize}")


def _largest(images: NDArray[Any], part: Array) -> Floats:
    """The largest magnitude of each row: the bits of a float that is not negative have the order of the floats."""
    largest: Floats = images.view(part.dtype).reshape(-1, 16 // part.itemsize).max(axis=1).astype(np.float64)
    return largest


def medians(block: Array, index: Any, maps: Floats | None, lines: Any, first: int, out: Array) -> None:
    """Row ``lines[i]`` of `out` gets the medians by columns of the rows ``index[i]``, or of ``maps[i]`` times these."""
    count = index.shape[1] if maps is None else maps.shape[1]
    _ranks(block, index, maps, (count - 1) // 2, count // 2, True, lines, first, out)


def trimmed_means(block: Array, index: Any, maps: Floats | None, f: int, lines: Any, first: int, out: Array) -> None:
    """As :func:`medians`, the means without the f smallest and the f largest values of each column; 2f < m."""
    count = index.shape[1] if maps is None else maps.shape[1]
    _ranks(block, index, maps, f, count - 1 - f, False, lines, first, out)


def means_around(rows: Array, index: Any, kept: int) -> Any:
    """Writes the means of the `kept` values of each column nearest to the median; None where no kernel is made for it.

    It is called as :func:`medians` is, without index and maps.
    """
    m = index.shape[1]  # values and their distances share the registers, so of half as many rows as ranks alone
    if not 0 < kept < m <= MOST_ROWS // 2 or len(index) * rows.strides[0] < UNROLLED:
        return None
    around = Around(m, (m - 1) // 2, m // 2, True, kept)

    def write(block: Array, lines: Any, first: int, out: Array) -> None:
        for part, columns in _parts(block, lead(out, first)):
            with _Target(part, columns, lines, first, out) as target:
                unrolled_means_around(*_memory(part)[:3], index, around, kept, *target.memory)

    return write


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
    return part.__array_interface__["data"][0], part.strides[0], part.shape[1], lanes(part.dtype)


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
