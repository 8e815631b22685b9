"""Eigenvectors of a tridiagonal matrix whose eigenvalues are known, eight at a time, and how far they are from
orthonormal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_vectors import (
    add_product,
    load_beside,
    low,
    magnitude,
    minus,
    over,
    plus,
    store,
    times,
    where_equal,
    where_less,
)
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.spectra.lockstep import LANES, eight, spread

PIVOT = 1e-3 * float(np.finfo(np.float64).eps)
"""Least magnitude of a pivot, for a matrix none of whose rows sums to more than 1 in magnitude."""


@kernel
def solve_twisted(diagonal: Any, beside: Any, shifts: Any, vectors: Any, squares: Any, left: Any) -> None:
    """The eigenvectors [m, lanes] for eigenvalues `shifts`, each with the value 1 in one place.

    Elimination from both ends meets in the row where least is left of the equations, so that the vector solves all
    other equations exactly. Fills the squared lengths of the vectors, and how much of the one equation is `left`.
    """
    m, lanes = len(diagonal), len(shifts)
    zero, one, least = eight(0.0), eight(1.0), eight(PIVOT)
    pivots, ups, downs = np.empty(m * LANES), np.empty(m * LANES), np.empty(m * LANES)
    rows = np.arange(m) * 1.0
    for at in range(0, lanes, LANES):
        shift = load_beside(shifts, at, one)
        pivot = minus(spread(one, diagonal, 0), shift)
        for i in range(m - 1):
            pivot = where_less(magnitude(pivot), least, least, pivot)
            store(pivots, i * LANES, pivot)
            entry = spread(one, beside, i)
            factor = over(entry, pivot)
            store(ups, i * LANES, factor)
            pivot = minus(minus(spread(one, diagonal, i + 1), shift), times(entry, factor))
        smallest, place = magnitude(pivot), spread(one, rows, m - 1)
        pivot = minus(spread(one, diagonal, m - 1), shift)
        for i in range(m - 2, -1, -1):
            pivot = where_less(magnitude(pivot), least, least, pivot)
            entry = spread(one, beside, i)
            factor = over(entry, pivot)
            store(downs, i * LANES, factor)
            here = magnitude(minus(load_beside(pivots, i * LANES, one), times(entry, factor)))
            place = where_less(here, smallest, spread(one, rows, i), place)
            smallest = low(here, smallest)
            pivot = minus(minus(spread(one, diagonal, i), shift), times(entry, factor))
        value = where_equal(place, spread(one, rows, m - 1), one, zero)
        store(vectors, (m - 1) * lanes + at, value)
        for i in range(m - 2, -1, -1):
            value = times(load_beside(ups, i * LANES, one), minus(zero, value))
            value = where_equal(place, spread(one, rows, i), one, value)
            store(vectors, i * lanes + at, value)
        square, below = times(value, value), where_equal(place, zero, one, zero)
        for i in range(1, m):
            below = times(load_beside(downs, (i - 1) * LANES, one), minus(zero, below))
            value = plus(load_beside(vectors, i * lanes + at, one), below)
            store(vectors, i * lanes + at, value)
            square = add_product(square, value, value)
            below = where_equal(place, spread(one, rows, i), one, below)
        store(squares, at, square)
        store(left, at, smallest)


@kernel
def multiply_columns(vectors: Any, m: int, lanes: int, products: Any) -> None:
    """The inner products [lanes, lanes] of the columns of `vectors` [m, lanes], in and above the diagonal."""
    zero = eight(0.0)
    for i in range(0, lanes, 4):
        for j in range(i - i % LANES, lanes, LANES):
            a = b = c = d = zero
            for at in range(0, m * lanes, lanes):
                x = load_beside(vectors, at + j, zero)
                a = add_product(a, spread(zero, vectors, at + i), x)
                b = add_product(b, spread(zero, vectors, at + i + 1), x)
                c = add_product(c, spread(zero, vectors, at + i + 2), x)
                d = add_product(d, spread(zero, vectors, at + i + 3), x)
            store(products, i * lanes + j, a)
            store(products, (i + 1) * lanes + j, b)
            store(products, (i + 2) * lanes + j, c)
            store(products, (i + 3) * lanes + j, d)


@kernel
def mix_columns(vectors: Any, rows: int, lanes: int, factors: Any, mixed: Any) -> None:
    """Fill `mixed` with ``vectors @ factors``, [rows, lanes] times [lanes, lanes]; `rows` is a multiple of 4."""
    zero = eight(0.0)
    for i in range(0, rows, 4):
        at0 = i * lanes
        at1, at2, at3 = at0 + lanes, at0 + 2 * lanes, at0 + 3 * lanes
        for j in range(0, lanes, LANES):
            a = b = c = d = zero
            for q in range(lanes):
                x = load_beside(factors, q * lanes + j, zero)
                a = add_product(a, spread(zero, vectors, at0 + q), x)
                b = add_product(b, spread(zero, vectors, at1 + q), x)
                c = add_product(c, spread(zero, vectors, at2 + q), x)
                d = add_product(d, spread(zero, vectors, at3 + q), x)
            store(mixed, at0 + j, a)
            store(mixed, at1 + j, b)
            store(mixed, at2 + j, c)
            store(mixed, at3 + j, d)
