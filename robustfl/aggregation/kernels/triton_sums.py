"""Sums over rows and columns on a GPU, accumulated in float64 without a float64 copy of the matrix."""
# This module evaluates its annotations, unlike others: older versions of Triton look for tl.constexpr in them.

import torch
import triton
import triton.language as tl

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.kernels.triton_launch import launch

STRETCH, STEPS = 1024, 16
"""Number of columns of a row that a program reads at a time, and how many times it does so."""

ROWS, COLUMNS = 16, 128
"""Size of the tile that a program of a weighted sum moves down its columns."""


def row_extent(block: Array) -> tuple[Floats, Floats]:
    """Largest magnitude and sum of squares of each row of [n, b], both [n]; a row with NaN has a NaN magnitude."""
    n, columns = block.shape
    parts = max(1, triton.cdiv(columns, STRETCH * STEPS))
    found = torch.empty((2, n, parts), dtype=torch.float64, device=block.device)
    launch(
        row_extent_kernel, n * parts, block, found[0], found[1], columns, parts, *block.stride(),
        STRETCH=STRETCH, STEPS=STEPS, warps=4,
    )  # fmt: skip
    peak, square = torch.stack([found[0].amax(dim=1), found[1].sum(dim=1)]).cpu().numpy()
    return peak, square


def weighted_sum(weights: Array, block: Array) -> Array:
    """`weights @ block`: float64 [n] x [n, b] -> [b], in the type of the block."""
    n, columns = block.shape
    out = torch.empty(columns, dtype=block.dtype, device=block.device)
    place = (n, columns, *block.stride())
    programs = triton.cdiv(columns, COLUMNS)
    launch(weighted_sum_kernel, programs, block, weights, out, *place, ROWS=ROWS, COLUMNS=COLUMNS, warps=4)
    return out


@triton.jit
def row_extent_kernel(
    block, peak, square, columns, parts, row_stride, column_stride, STRETCH: tl.constexpr, STEPS: tl.constexpr
):
    """The extent of a part of a row; one program runs for each row and each ``STRETCH * STEPS`` columns."""
    program = tl.program_id(0)
    row = program // parts
    part = program % parts
    largest = tl.zeros([STRETCH], block.dtype.element_ty)
    total = tl.zeros([STRETCH], tl.float64)
    start = block + row.to(tl.int64) * row_stride
    for step in range(STEPS):
        column = (part * STEPS + step) * STRETCH + tl.arange(0, STRETCH)
        x = tl.load(start + column.to(tl.int64) * column_stride, mask=column < columns, other=0.0)
        largest = tl.maximum(largest, tl.abs(x))
        total += x.to(tl.float64) * x.to(tl.float64)
    squares = tl.sum(total, axis=0)
    # a sum of squares is NaN only if a value is NaN, while the maximum ignores NaN
    tl.store(peak + program, tl.where(squares == squares, tl.max(largest, axis=0).to(tl.float64), squares))
    tl.store(square + program, squares)


@triton.jit
def weighted_sum_kernel(
    block, weights, out, n, columns, row_stride, column_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    column = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    address = block + (column * column_stride)[None, :]
    total = tl.zeros([COLUMNS], tl.float64)
    first = 0
    while first < n:
        row = first + tl.arange(0, ROWS)
        weight = tl.load(weights + row, mask=row < n, other=0.0)
        there = (row < n)[:, None] & (column < columns)[None, :]
        x = tl.load(address + row.to(tl.int64)[:, None] * row_stride, mask=there, other=0.0)
        total += tl.sum(x.to(tl.float64) * weight[:, None], axis=0)
        first += ROWS
    tl.store(out + column, total.to(out.dtype.element_ty), mask=column < columns)
