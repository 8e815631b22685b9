"""Order statistics of columns on a GPU: every number is read once, and only the result is written.

A program holds a tile of whole columns in registers, [ROWS, COLUMNS], with the rows padded to a power of two. In each
column it looks for a *cut*: a threshold with the wanted number of values at or below it. It finds the cut by bisection
over integers that have the same order as the floats, in about fifteen rounds of counting for most data. Cuts suffice
for all order statistics: the median is a value next to one cut, a trimmed mean averages the values between two cuts,
and the values nearest to a centre are those whose distances are below a cut. If equal values lie on both sides of the
wanted place, no such threshold exists. The search then ends at that value, and the counts say how many of its copies
belong to each side.

Values must be finite. Medians equal those of the host to the last bit, and sums are float64.
"""
# This module evaluates its annotations, unlike others: older versions of Triton look for tl.constexpr in them.

import torch
import triton
import triton.language as tl

from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.kernels.triton_launch import launch

MOST_ROWS = 1024
"""Largest number of rows that the registers of one program can hold."""

NARROW, WIDE = 64, 32
"""Number of values of a tile that a thread holds, in float32 and in float64: with more, registers spill to memory."""

UNSPECIALIZED = ("n", "columns", "row_stride")
"""Arguments for whose values no special code is compiled, so one compilation serves all matrices of similar height.

This is also faster. Code for strides that are multiples of 16 would give each thread four neighbouring columns, whose
counts it would then have to gather from other threads. Without it, a thread has as much of one column as it can hold.
"""


def median(block: Array, exact: bool = False) -> Array:
    """The middle value of each column of [n, b], or the average of the middle two for even n: [b]; see `_select`."""
    n = len(block)
    return _select(median_kernel, block, float(n // 2), float((n + 1) // 2), exact=exact, EVEN=n % 2 == 0)


def trimmed_mean(block: Array, f: int, exact: bool = False) -> Array:
    """The mean of each column of [n, b] without its `f` smallest and `f` largest values: [b]; see `_select`."""
    return _select(trimmed_mean_kernel, block, float(f), float(len(block) - f), exact=exact)


def mean_around(block: Array, centre: Array, count: int) -> Array:
    """The mean of the `count` values of each column of [n, b] nearest to `centre` [b]; ties: the lower row: [b].

    Distances are float64, as on the host.
    """
    return _select(mean_around_kernel, block, centre.contiguous(), float(count), distances=True)


def _select(
    kernel: Array, block: Array, *arguments: Array, distances: bool = False, exact: bool = False, **constants: bool
) -> Array:
    """The results of a kernel: in float64 if `exact`, else in the type of the block."""
    n, columns = block.shape
    out = torch.empty(columns, dtype=torch.float64 if exact else block.dtype, device=block.device)
    rows, wide, warps = tile_shape(n, distances or block.dtype == torch.float64)
    tile = {"ROWS": rows, "COLUMNS": wide, **constants}
    launch(kernel, triton.cdiv(columns, wide), block, out, n, columns, *block.stride(), *arguments, warps=warps, **tile)
    return out


def tile_shape(n: int, double: bool) -> tuple[int, int, int]:
    """The rows and columns of the tile for columns of `n` values, and the number of warps that share it.

    A thread that holds a whole column needs no exchange with other threads. If columns are too long for that, a tile
    has 8 of them, which is as wide as the 32 bytes that a memory access delivers at least, and several warps share a
    tile of long columns.
    """
    rows, held = triton.next_power_of_2(n), WIDE if double else NARROW
    columns = min(32, max(32 * held // rows, 8))
    return rows, columns, max(1, rows * columns // (32 * held))


@triton.jit
def _image(x):
    """Integers that have the same order and width as the floats `x`; both zeros become 0."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        size = bits & 0x7FFFFFFFFFFFFFFF
    else:
        bits = x.to(tl.int32, bitcast=True)
        size = bits & 0x7FFFFFFF
    return tl.where(bits < 0, -size, size)


@triton.jit
def _number(image):
    """The floats of which these integers are the images, see :func:`_image`."""
    size = tl.abs(image)
    number = size.to(tl.float64 if image.dtype == tl.int64 else tl.float32, bitcast=True)
    return tl.where(image < 0, -number, number)


@triton.jit
def _cut(x, low, below, high, least, most):
    """Find a cut in each column of `x`: a threshold with at least `least` and at most `most` values at or below it.

    `low` and `high` are images of thresholds. At or below the first lie `below` <= `most` values. At or below the
    second lie more than `most` values, or at most one image lies between the two. The function returns `low` and
    `below` of the cut, and `high`: either ``least <= below``, or the cut falls among equal values, whose image is
    `high`, and `low` is just under it.

    From the 14th round on, when few values are left between the thresholds, every fourth round tries the least of them
    in place of the middle. This ends the search at once when those values are equal, which would otherwise take all 32
    (float64: 64) rounds.

    Counts are float32: then a comparison yields 1.0 or 0.0 in one instruction, and the additions run in parallel with
    comparisons, while additions of integers would compete with them.
    """
    rounds = 0
    open_columns = (below < least) & (low + 1 < high)
    searching = tl.max(open_columns.to(tl.int32), axis=0)
    while searching > 0:
        middle = (low & high) + ((low ^ high) >> 1)  # the average, rounded down, without overflow
        if (rounds >= 14) & (rounds % 4 == 2):
            above = _image(tl.min(tl.where(x > _number(low)[None, :], x, float("inf")), axis=0))
            middle = tl.where(open_columns, above, middle)
            low = tl.where(open_columns, above - 1, low)
        count = tl.sum(tl.where(x <= _number(middle)[None, :], 1.0, 0.0), axis=0)
        high = tl.where(count > most, middle, high)
        low = tl.where(count > most, low, middle)
        below = tl.where(count > most, below, count)
        open_columns = (below < least) & (low + 1 < high)
        searching = tl.max(open_columns.to(tl.int32), axis=0)
        rounds += 1
    return low, below, high


@triton.jit
def _tile(block, n, columns, row_stride, column_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The values of this program's tile, [ROWS, COLUMNS], and the numbers of its rows and columns.

    Rows beyond the last one repeat it, which takes fewer registers than masking them.
    """
    row = tl.arange(0, ROWS)
    column = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    address = block + tl.minimum(row, n - 1).to(tl.int64)[:, None] * row_stride
    x = tl.load(address + (column * column_stride)[None, :], mask=(column < columns)[None, :], other=0.0)
    return x, row, column


@triton.jit
def _bracket(x):
    """Images of two thresholds: no value of `x` is at or below the first, and every value at or below the second."""
    return _image(tl.min(x, axis=0)) - 1, _image(tl.max(x, axis=0))


@triton.jit(do_not_specialize=UNSPECIALIZED)
def median_kernel(
    block, out, n, columns, row_stride, column_stride, least, most,
    EVEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Cut off the lower half of each column; the median is next to the cut: below it, above it, or both for even n."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    low, high = _bracket(x)
    x = tl.where((row < n)[:, None], x, float("inf"))
    low, below, high = _cut(x, low, tl.zeros([COLUMNS], tl.float32), high, least, most)
    under = x <= _number(low)[None, :]
    lower = tl.max(tl.where(under, x, -float("inf")), axis=0)
    upper = tl.min(tl.where(under, float("inf"), x), axis=0)
    wide = out.dtype.element_ty  # the average of two numbers is rounded only where the result is
    value = (lower.to(wide) + upper.to(wide)) * 0.5 if EVEN else tl.where(below > least, lower, upper).to(wide)
    value = tl.where(below < least, _number(high).to(wide), value)
    tl.store(out + column, value, mask=column < columns)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def trimmed_mean_kernel(
    block, out, n, columns, row_stride, column_stride, first, last, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Cut each column after its `first` and after its `last` smallest values, and average the values in between."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    low, high = _bracket(x)
    x = tl.where((row < n)[:, None], x, float("inf"))
    low, below, tied = _cut(x, low, tl.zeros([COLUMNS], tl.float32), high, first, first)
    top, upto, tied_above = _cut(x, low, below, high, last, last)
    inside = (x > _number(low)[None, :]) & (x <= _number(top)[None, :])
    total = tl.sum(tl.where(inside, x, 0.0).to(tl.float64), axis=0)
    # if a cut falls among equal values, the sum has copies that are to be cut off, or lacks copies that are to be kept
    total -= (first - below).to(tl.float64) * _number(tied).to(tl.float64)
    total += (last - upto).to(tl.float64) * _number(tied_above).to(tl.float64)
    mean = total / tl.full([COLUMNS], last - first, tl.float64)
    tl.store(out + column, mean.to(out.dtype.element_ty), mask=column < columns)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def mean_around_kernel(
    block, out, n, columns, row_stride, column_stride, centre, kept, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Cut the distances to the centre; if the cut falls among equal ones, cut the numbers of their rows as well."""
    x, row, column = _tile(block, n, columns, row_stride, column_stride, ROWS, COLUMNS)
    around = tl.load(centre + column, mask=column < columns, other=0.0).to(tl.float64)
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
