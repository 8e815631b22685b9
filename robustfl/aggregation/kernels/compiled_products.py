"""Inner products of all pairs of rows, by as many sums side by side as the processor has registers for."""

from __future__ import annotations

from typing import Any

from robustfl.aggregation.kernels.compiled_vectors import (
    REGISTER_LANES,
    across,
    add_product,
    fill,
    load_register,
)
from robustfl.aggregation.kernels.compiling import kernel

PANEL = 16
"""Rows of a tile that stay in a first-level cache while all rows before them are multiplied with them."""


@kernel
def add_row(row: Any, a: float, b: float, c: float, d: float) -> None:
    """Add four numbers to the first four entries of `row`."""
    row[0] += a
    row[1] += b
    row[2] += c
    row[3] += d


@kernel
def add_sixteen(tile: Any, gram: Any) -> None:
    """:func:`add_products` by 4 x 4 pairs at a time, for processors with 32 registers."""
    points, width = tile.shape
    flat = tile.reshape(-1)
    nothing = fill(load_register(flat, 0), 0.0)
    for panel in range(0, points, PANEL):
        for i in range(0, min(panel + PANEL, points), 4):
            for j in range(max(i, panel), min(panel + PANEL, points), 4):
                s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = nothing
                s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = nothing
                a, b = i * width, j * width
                for _ in range(0, width, REGISTER_LANES):
                    y0, y1 = load_register(flat, b), load_register(flat, b + width)
                    y2, y3 = load_register(flat, b + 2 * width), load_register(flat, b + 3 * width)
                    x = load_register(flat, a)
                    s00, s01 = add_product(s00, x, y0), add_product(s01, x, y1)
                    s02, s03 = add_product(s02, x, y2), add_product(s03, x, y3)
                    x = load_register(flat, a + width)
                    s10, s11 = add_product(s10, x, y0), add_product(s11, x, y1)
                    s12, s13 = add_product(s12, x, y2), add_product(s13, x, y3)
                    x = load_register(flat, a + 2 * width)
                    s20, s21 = add_product(s20, x, y0), add_product(s21, x, y1)
                    s22, s23 = add_product(s22, x, y2), add_product(s23, x, y3)
                    x = load_register(flat, a + 3 * width)
                    s30, s31 = add_product(s30, x, y0), add_product(s31, x, y1)
                    s32, s33 = add_product(s32, x, y2), add_product(s33, x, y3)
                    a += REGISTER_LANES
                    b += REGISTER_LANES
                add_row(gram[i, j : j + 4], across(s00), across(s01), across(s02), across(s03))
                add_row(gram[i + 1, j : j + 4], across(s10), across(s11), across(s12), across(s13))
                add_row(gram[i + 2, j : j + 4], across(s20), across(s21), across(s22), across(s23))
                add_row(gram[i + 3, j : j + 4], across(s30), across(s31), across(s32), across(s33))


@kernel
def add_eight(tile: Any, gram: Any) -> None:
    """:func:`add_products` by 4 x 2 pairs at a time, for processors with 16 registers."""
    points, width = tile.shape
    flat = tile.reshape(-1)
    nothing = fill(load_register(flat, 0), 0.0)
    for panel in range(0, points, PANEL):
        for i in range(0, min(panel + PANEL, points), 4):
            for j in range(max(i, panel), min(panel + PANEL, points), 2):
                s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = nothing
                a, b = i * width, j * width
                for _ in range(0, width, REGISTER_LANES):
                    y0, y1 = load_register(flat, b), load_register(flat, b + width)
                    x = load_register(flat, a)
                    s00, s01 = add_product(s00, x, y0), add_product(s01, x, y1)
                    x = load_register(flat, a + width)
                    s10, s11 = add_product(s10, x, y0), add_product(s11, x, y1)
                    x = load_register(flat, a + 2 * width)
                    s20, s21 = add_product(s20, x, y0), add_product(s21, x, y1)
                    x = load_register(flat, a + 3 * width)
                    s30, s31 = add_product(s30, x, y0), add_product(s31, x, y1)
                    a += REGISTER_LANES
                    b += REGISTER_LANES
                gram[i, j] += across(s00)
                gram[i, j + 1] += across(s01)
                gram[i + 1, j] += across(s10)
                gram[i + 1, j + 1] += across(s11)
                gram[i + 2, j] += across(s20)
                gram[i + 2, j + 1] += across(s21)
                gram[i + 3, j] += across(s30)
                gram[i + 3, j + 1] += across(s31)


add_products = add_sixteen if REGISTER_LANES == 8 else add_eight
"""Add the inner products of the rows of `tile` [p, width] to the upper triangle of `gram` [p, p].

p is a multiple of 4 and the width is a multiple of all register sizes, so every pair of rows goes through the same
operations in the same order: equal rows have bitwise equal products, and a distance of exactly 0. Each sum is a
register of its own; from plain loops the compiler makes registers of half the size. With more sums than registers a
Gram took twice as long. The sums of processors with other registers differ in their last bits.
"""
