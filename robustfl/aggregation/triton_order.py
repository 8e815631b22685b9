"""Order statistics of columns on a GPU: every number is read once, and nothing is written but the result.

A program holds a tile of whole columns, [rows, columns] with the rows padded by infinities to a power of two, in
registers. It looks for a *cut*: a threshold with a wanted number of values at or below it. Cuts are found by bisection
over the integers that have the order of the floats, so at most 32 (float64: 64) rounds of counting lead to it, whatever
the values; most columns need about half. A cut is enough: the median is the nearest value beside one, a trimmed mean is
what lies between two, and the values nearest to a centre are those whose distances lie below one. Where equal values
straddle the place, there is no such threshold; the search then ends at that value, and the count says how many of its
copies belong to which side.

Values must be finite. Two zeros of different sign are the same number here, as in every comparison of floats.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl

from robustfl.aggregation.kernels import Array

MOST_ROWS = 1024
"""Rows of a column that registers hold in one program."""

_launching = threading.Lock()
"""One launch at a time: the first of its kind compiles, and the compiler is not made for several threads."""


@triton.jit
def _image(x):  # type: ignore[no-untyped-def]
    """Integers in the order of the floats `x`, as wide as these; 0 for both zeros."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        size = bits & 0x7FFFFFFFFFFFFFFF
    else:
        bits = x.to(tl.int32, bitcast=True)
        size = bits & 0x7FFFFFFF
    return tl.where(bits < 0, -size, size)


@triton.jit
def _number(image):  # type: ignore[no-untyped-def]
    """The floats that have these images."""
    size = tl.abs(image)
    if image.dtype == tl.int64:
        number = size.to(tl.float64, bitcast=True)
    else:
        number = size.to(tl.float32, bitcast=True)
    return tl.where(image < 0, -number, number)


@triton.jit
def _cut(x, low, below, high, least, most):  # type: ignore[no-untyped-def]
    """Cut the columns of `x` so that `least` to `most` values lie at or below.

    `low` and `high` are images of thresholds, with `below` <= `most` values at or below the first and more than `most`
    at or below the second. Returns `low` and `below` of the cut, and `high`. Either ``least <= below``, or the cut
    falls among equal values, whose image is `high`, and `low` is just below it.

    Counts are float32: a comparison then yields 1.0 or 0.0 in one instruction, and additions of floats take place
    beside comparisons instead of competing with them.
    """
    rounds = 0
    searching = tl.max(((below < least) & (low + 1 < high)).to(tl.int32), axis=0)
    while searching > 0:
        middle = (low & high) + ((low ^ high) >> 1)  # the average, rounded down, without overflow
        if (rounds >= 14) & (rounds % 4 == 2):
            above = tl.min(tl.where(x > _number(low)[None, :], x, float("inf")), axis=0)
            middle = _image(above)
            low = middle - 1
        count = tl.sum(tl.where(x <= _number(middle)[None, :], 1.0, 0.0), axis=0)
        high = tl.where(count > most, middle, high)
        low = tl.where(count > most, low, middle)
        below = tl.where(count > most, below, count)
        searching = tl.max(((below < least) & (low + 1 < high)).to(tl.int32), axis=0)
        rounds += 1
    return low, below, high


@triton.jit
def _tile(block, n, columns, row_stride, column_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The values of this program's tile, [ROWS, COLUMNS], and its rows and columns.

    Rows after the last are the last again, and so are columns: loads without a condition need fewer registers.
    """
    row = tl.arange(0, ROWS)
    column = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    address = tl.minimum(row, n - 1).to(tl.int64)[:, None] * row_stride
    x = tl.load(block + address + (tl.minimum(column, columns - 1) * column_stride)[None, :])
    return x, row, column


@triton.jit
def _bracket(x):  # type: ignore[no-untyped-def]
    """Images of thresholds with no value and with every value of `x` at or below them."""
    return _image(tl.min(x, axis=0)) - 1, _image(tl.max(x, axis=0))


@triton.jit
def median_kernel(  # type: ignore[no-untyped-def]
    block, out, n, columns, row_stride, column_stride, least, most,
    EVEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Cut off the lower half, with the middle value or without, which then is the last below or the first above."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    low, high = _bracket(x)
    x = tl.where((row < n)[:, None], x, float("inf"))
    low, below, high = _cut(x, low, tl.zeros([COLUMNS], tl.float32), high, least, most)
    under = x <= _number(low)[None, :]
    lower = tl.max(tl.where(under, x, -float("inf")), axis=0)
    upper = tl.min(tl.where(under, float("inf"), x), axis=0)
    if EVEN:
        value = (lower + upper) * 0.5
    else:
        value = tl.where(below > least, lower, upper)
    value = tl.where(below < least, _number(high), value)
    tl.store(out + column, value, mask=column < columns)


@triton.jit
def trimmed_mean_kernel(  # type: ignore[no-untyped-def]
    block, out, n, columns, row_stride, column_stride, first, last, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Cut off `first` values, then as many above as leaves `last` at or below; sum what lies between."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    low, high = _bracket(x)
    x = tl.where((row < n)[:, None], x, float("inf"))
    low, below, tied = _cut(x, low, tl.zeros([COLUMNS], tl.float32), high, first, first)
    top, upto, tied_above = _cut(x, low, below, high, last, last)
    inside = (x > _number(low)[None, :]) & (x <= _number(top)[None, :])
    total = tl.sum(tl.where(inside, x, 0.0).to(tl.float64), axis=0)
    # where a cut falls among equal values: copies to be cut off were summed, and copies to be kept were not
    total -= (first - below).to(tl.float64) * _number(tied).to(tl.float64)
    total += (last - upto).to(tl.float64) * _number(tied_above).to(tl.float64)
    mean = total / tl.full([COLUMNS], last - first, tl.float64)
    tl.store(out + column, mean.to(x.dtype), mask=column < columns)


@triton.jit
def mean_around_kernel(  # type: ignore[no-untyped-def]
    block, out, n, columns, row_stride, column_stride, centre, kept, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Cut the distances to the centre, and then, where the cut falls among equal ones, the numbers of their rows."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    around = tl.load(centre + tl.minimum(column, columns - 1)).to(tl.float64)
    distance = tl.abs(x.to(tl.float64) - around[None, :])
    nothing = tl.zeros([COLUMNS], tl.float32)
    low, high = _bracket(distance)
    distance = tl.where((row < n)[:, None], distance, float("inf"))
    low, below, high = _cut(distance, low, nothing, high, kept, kept)
    tied = tl.where(distance == _number(high)[None, :], row.to(tl.float32)[:, None], float("inf"))
    first = tl.zeros([COLUMNS], tl.int32) - 1  # the image of a number just below row 0
    missing = kept - below
    rows, _, _ = _cut(tied, first, nothing, first + _image(tl.full([COLUMNS], ROWS, tl.float32)), missing, missing)
    near = (distance <= _number(low)[None, :]) | (tied <= _number(rows)[None, :])
    total = tl.sum(tl.where(near, x, 0.0).to(tl.float64), axis=0)
    mean = total / tl.full([COLUMNS], kept, tl.float64)
    tl.store(out + column, mean.to(x.dtype), mask=column < columns)
