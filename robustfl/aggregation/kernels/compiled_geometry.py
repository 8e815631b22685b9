"""Compiled geometry of rows: extents, centred inner products and linear combinations, with float64 sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_products import add_products
from robustfl.aggregation.kernels.compiled_vectors import (
    BYTES,
    add_product,
    address_of,
    fetch,
    fetch_number,
    fill,
    from_image,
    larger,
    load,
    load_beside,
    magnitude,
    minus,
    narrow,
    pad,
    rank_image,
    store,
    widen,
)
from robustfl.aggregation.kernels.compiling import kernel

BESIDE = 4
"""Number of output rows that are summed side by side: 4 rows of 4 registers leave registers for the operands."""

SUMS, LINE = 1024, 8
"""Columns whose float64 sums a combination keeps at a time (8 kB, beside the rows in a first-level cache), and the
float64 of a cache line, at which they begin."""


@kernel
def row_extent(
    address: int, stride: int, n: int, columns: int, lanes: int, lane: Any, wide: Any, peak: Any, square: Any
) -> None:
    """Raise `peak` [n] to the largest magnitude of each row, and add the squares of each row to `square` [n].

    The largest magnitude is found among the bit patterns, in whose order infinity and then NaN come last, so neither is
    missed. `lane` and `wide` are work space for one vector of the type of the matrix and one of float64.
    """
    for i in range(n):
        at = address + i * stride
        largest = fill(rank_image(fetch(lane, at)), 0)
        total = fill(widen(fetch(lane, at)), 0.0)
        for _ in range(0, columns, lanes):
            x = fetch(lane, at)
            largest = larger(largest, rank_image(magnitude(x)))
            total = add_product(total, widen(x), widen(x))
            at += lanes * lane.itemsize
        store(lane, 0, from_image(largest))
        store(wide, 0, total)
        for q in range(lanes):
            if not lane[q] <= peak[i] and peak[i] == peak[i]:
                peak[i] = lane[q]
            square[i] += wide[q]


@kernel
def row_extents(address: int, stride: int, n: int, columns: int, lanes: int, rest: Any, peak: Any, square: Any) -> None:
    """:func:`row_extent` for any number of columns; see :func:`pad`."""
    lane, wide = np.empty(lanes, rest.dtype), np.empty(lanes)
    whole = pad(address, stride, n, columns, lanes, rest)
    if whole:
        row_extent(address, stride, n, whole, lanes, lane, wide, peak, square)
    if whole < columns:
        row_extent(address_of(rest), lanes * rest.itemsize, n, lanes, lanes, lane, wide, peak, square)


@kernel
def fits(address: int, stride: int, n: int, columns: int, lanes: int, like: Any, limit: float) -> bool:
    """Whether no value of a matrix is larger than `limit` in magnitude; NaN is larger than everything."""
    lane = np.empty(lanes, like.dtype)
    whole = columns - columns % lanes
    if whole:
        largest = fill(rank_image(fetch(like, address)), 0)
        for i in range(n):
            at = address + i * stride
            for _ in range(0, whole, lanes):
                largest = larger(largest, rank_image(magnitude(fetch(like, at))))
                at += lanes * like.itemsize
        store(lane, 0, from_image(largest))
        for q in range(lanes):
            if not lane[q] <= limit:
                return False
    for i in range(n):
        for j in range(whole, columns):
            if not abs(fetch_number(like, address + i * stride + j * like.itemsize)) <= limit:
                return False
    return True


@kernel
def combine(
    address: int, stride: int, n: int, columns: int, lanes: int, rows: Any, weights: Any, like: Any, sums: Any, out: Any
) -> None:
    """The sum over r of ``weights[r]`` times row ``rows[r]`` of a matrix, for few or many rows and one output.

    `sums` is work space for the float64 sums of some columns, wide enough to read long parts of each row.
    """
    nothing = fill(widen(fetch(like, address)), 0.0)
    for first in range(0, columns, sums.size):
        width = min(sums.size, columns - first)
        for q in range(0, width, lanes):
            store(sums, q, nothing)
        for r in range(rows.size):
            at = address + rows[r] * stride + first * like.itemsize
            weight = fill(nothing, weights[r])
            for q in range(0, width, lanes):
                x = widen(fetch(like, at + q * like.itemsize))
                store(sums, q, add_product(load_beside(sums, q, x), weight, x))
        for q in range(0, width, lanes):
            store(out, first + q, narrow(load_beside(sums, q, nothing), out))


@kernel
def combination(address: int, stride: int, n: int, columns: int, lanes: int, weights: Any, out: Any) -> None:
    """:func:`combine` for any number of columns (see :func:`pad`) and the weights of all rows, some of them 0."""
    rest = np.zeros((n if columns % lanes else 0, lanes), out.dtype)
    rows, chosen, count = np.empty(n, np.intp), np.empty(n), 0
    for i in range(n):
        if weights[i] != 0.0:
            rows[count], chosen[count] = i, weights[i]
            count += 1
    rows, chosen = rows[:count], chosen[:count]
    space = np.empty(SUMS + LINE)
    skip = -address_of(space) % (8 * LINE) // 8
    sums = space[skip : skip + SUMS]
    whole = pad(address, stride, n, columns, lanes, rest) if columns % lanes else columns
    at, step, first, width = address, stride, 0, whole
    for _ in range(2):  # one place where the kernel is called is compiled in half the time that two take
        if width:
            combine(at, step, n, width, lanes, rows, chosen, out, sums, out[first:])
        at, step, first, width = address_of(rest), lanes * rest.itemsize, whole, lanes * (whole < columns)


@kernel
def clean_combination(
    address: int, stride: int, n: int, columns: int, lanes: int, limit: float, weights: Any, out: Any
) -> bool:
    """:func:`combination`, if :func:`fits`; says whether it does."""
    if not fits(address, stride, n, columns, lanes, out, limit):
        return False
    combination(address, stride, n, columns, lanes, weights, out)
    return True


@kernel
def squares_around(
    address: int, stride: int, n: int, columns: int, lanes: int, like: Any, point: Any, squares: Any
) -> None:
    """The squared distances [n] of the rows from `point`, which holds a vector more than there are columns."""
    whole, wide = columns - columns % lanes, np.empty(lanes)
    for i in range(n):
        at = address + i * stride
        total = fill(load_beside(point, 0, widen(fetch(like, address_of(like)))), 0.0)
        for q in range(0, whole, lanes):
            x = widen(fetch(like, at + q * like.itemsize))
            away = minus(x, load_beside(point, q, x))
            total = add_product(total, away, away)
        store(wide, 0, total)
        square = 0.0
        for q in range(lanes):
            square += wide[q]
        for q in range(whole, columns):
            left = fetch_number(like, at + q * like.itemsize) - point[q]
            square += left * left
        squares[i] = square


@kernel
def pull(
    address: int, stride: int, n: int, columns: int, lanes: int, like: Any, shares: Any, point: Any, shift: Any
) -> None:
    """Move `point` by the sum of ``shares[i] (x_i - point)``; `shift` is work space as long as it."""
    whole = columns - columns % lanes
    shift[:] = 0.0
    for i in range(n):
        at = address + i * stride
        share = fill(widen(fetch(like, address_of(like))), shares[i])
        for q in range(0, whole, lanes):
            x = widen(fetch(like, at + q * like.itemsize))
            away = minus(x, load_beside(point, q, x))
            store(shift, q, add_product(load_beside(shift, q, x), share, away))
        for q in range(whole, columns):
            shift[q] += shares[i] * (fetch_number(like, at + q * like.itemsize) - point[q])
    for q in range(columns):
        point[q] += shift[q]


@kernel
def combine_many(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    used: Any,
    rows: Any,
    starts: Any,
    weights: Any,
    like: Any,
    tile: Any,
    first_out: int,
    pitch: int,
    out: Any,
) -> None:
    """Several combinations at once, four of them side by side.

    Outputs 4g, ..., 4g + 3 are the sums of ``weights[e, 0..3]`` times row ``rows[e]`` over the entries e from
    ``starts[g]`` up to, but without, ``starts[g + 1]``. `used` lists the rows that any output needs. `tile` is work
    space for one group of columns of all rows as float64. Output m starts at element ``m * pitch + first_out`` of
    `out`.
    """
    step = BYTES // 8
    for first in range(0, columns, lanes):
        for r in range(used.size):
            at = address + used[r] * stride + first * like.itemsize
            store(tile, used[r] * lanes, widen(fetch(like, at)))
        for part in range(0, lanes, step):
            nothing = fill(load(tile, 0), 0.0)
            for g in range(starts.size - 1):
                a, b, c, d = nothing, nothing, nothing, nothing
                for e in range(starts[g], starts[g + 1]):
                    x = load(tile, rows[e] * lanes + part)
                    a = add_product(a, fill(x, weights[e, 0]), x)
                    b = add_product(b, fill(x, weights[e, 1]), x)
                    c = add_product(c, fill(x, weights[e, 2]), x)
                    d = add_product(d, fill(x, weights[e, 3]), x)
                at = BESIDE * g * pitch + first_out + first + part
                store(out, at, narrow(a, out))
                store(out, at + pitch, narrow(b, out))
                store(out, at + 2 * pitch, narrow(c, out))
                store(out, at + 3 * pitch, narrow(d, out))


@kernel
def combinations(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    rest: Any,
    used: Any,
    rows: Any,
    starts: Any,
    weights: Any,
    tile: Any,
    pitch: int,
    out: Any,
) -> None:
    """:func:`combine_many` for any number of columns; see :func:`pad`."""
    whole = pad(address, stride, n, columns, lanes, rest)
    if whole:
        combine_many(address, stride, n, whole, lanes, used, rows, starts, weights, out, tile, 0, pitch, out)
    if whole < columns:
        at, step = address_of(rest), lanes * rest.itemsize
        combine_many(at, step, n, lanes, lanes, used, rows, starts, weights, out, tile, whole, pitch, out)


@kernel
def centred_gram(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    like: Any,
    first_out: int,
    reference: Any,
    others: Any,
    tile: Any,
    gram: Any,
) -> None:
    """Add the inner products of n centred rows and of `others` to the upper triangle of `gram` [p, p].

    Column j of the matrix is column ``first_out + j`` of `reference` and of `others` [e, ...], which are centred
    already. `tile` [p, width] is work space for the centred points, where p is the number of points rounded up to a
    multiple of 4.
    """
    flat = tile.reshape(-1)
    for first in range(0, columns, tile.shape[1]):
        width = min(tile.shape[1], columns - first)
        for i in range(n):
            at = address + i * stride + first * like.itemsize
            for q in range(0, width, lanes):
                x = widen(fetch(like, at + q * like.itemsize))
                store(flat, i * width + q, minus(x, load_beside(reference, first_out + first + q, x)))
        for e in range(len(others)):
            for q in range(width):
                flat[(n + e) * width + q] = others[e, first_out + first + q]
        flat[(n + len(others)) * width : len(tile) * width] = 0.0
        add_products(flat[: len(tile) * width].reshape(len(tile), width), gram)


@kernel
def whole_gram(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    rest: Any,
    reference: Any,
    others: Any,
    tile: Any,
    gram: Any,
) -> None:
    """:func:`centred_gram` for any number of columns (see :func:`pad`), with both triangles of `gram`, which was 0."""
    whole = pad(address, stride, n, columns, lanes, rest)
    at, step, first, width = address, stride, 0, whole
    for _ in range(2):  # one place where the kernel is called is compiled in half the time that two take
        if width:
            centred_gram(at, step, n, width, lanes, rest, first, reference, others, tile, gram)
        at, step, first, width = address_of(rest), lanes * rest.itemsize, whole, lanes * (whole < columns)
    for i in range(len(gram)):
        for j in range(i):
            gram[i, j] = gram[j, i]
