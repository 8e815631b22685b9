"""Householder's reduction of a symmetric matrix to tridiagonal form, and the way back for eigenvectors.

LAPACK reads the matrix twice for each column, once to multiply it and once to change it. Here the change for one
reflection and the product with the next one are a single pass over half of the matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_vectors import across, add_product, load_beside, minus, store, times
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.spectra.lockstep import LANES, QUAD, eight, four, spread

TINY = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)


@kernel
def padded(size: int, multiple: int) -> int:
    """`size`, rounded up to a multiple."""
    return -(-size // multiple) * multiple


@kernel
def advance(flat: Any, width: int, start: int, mirrors: Any, old: int, new: int, p: Any, twice: float, q: Any) -> None:
    """Apply one reflection to a symmetric matrix, and multiply what it becomes with the vector of the next one.

    The vectors v and w of the two reflections start at the elements `old` and `new` of `mirrors`. The matrix loses
    ``v p^T + (p - twice v) v^T``, and its product with w is added to q, which was 0. Only the rows and columns from
    `start` on count, and only the upper triangle is read and written, by squares.
    """
    zero, doubled = four(0.0), four(twice)
    for i in range(start - start % QUAD, width, QUAD):
        a0, a1 = (
            minus(zero, spread(zero, mirrors, old + i)),
            minus(zero, spread(zero, mirrors, old + i + 1)),
        )
        a2, a3 = (
            minus(zero, spread(zero, mirrors, old + i + 2)),
            minus(zero, spread(zero, mirrors, old + i + 3)),
        )
        b0 = minus(minus(zero, spread(zero, p, i)), times(doubled, a0))
        b1 = minus(minus(zero, spread(zero, p, i + 1)), times(doubled, a1))
        b2 = minus(minus(zero, spread(zero, p, i + 2)), times(doubled, a2))
        b3 = minus(minus(zero, spread(zero, p, i + 3)), times(doubled, a3))
        w0, w1 = spread(zero, mirrors, new + i), spread(zero, mirrors, new + i + 1)
        w2, w3 = spread(zero, mirrors, new + i + 2), spread(zero, mirrors, new + i + 3)
        at0 = i * width
        at1, at2, at3 = at0 + width, at0 + 2 * width, at0 + 3 * width
        s0 = s1 = s2 = s3 = zero
        own = load_beside(q, i, zero)
        for j in range(i, width, QUAD):
            x, v = load_beside(p, j, zero), load_beside(mirrors, old + j, zero)
            w, total = load_beside(mirrors, new + j, zero), load_beside(q, j, zero)
            r = add_product(add_product(load_beside(flat, at0 + j, zero), a0, x), b0, v)
            store(flat, at0 + j, r)
            s0, total = add_product(s0, r, w), add_product(total, r, w0)
            r = add_product(add_product(load_beside(flat, at1 + j, zero), a1, x), b1, v)
            store(flat, at1 + j, r)
            s1, total = add_product(s1, r, w), add_product(total, r, w1)
            r = add_product(add_product(load_beside(flat, at2 + j, zero), a2, x), b2, v)
            store(flat, at2 + j, r)
            s2, total = add_product(s2, r, w), add_product(total, r, w2)
            r = add_product(add_product(load_beside(flat, at3 + j, zero), a3, x), b3, v)
            store(flat, at3 + j, r)
            s3, total = add_product(s3, r, w), add_product(total, r, w3)
            store(q, j, total)
        store(q, i, own)  # the square on the diagonal is whole, so its columns would count it once more
        q[i] += across(s0)
        q[i + 1] += across(s1)
        q[i + 2] += across(s2)
        q[i + 3] += across(s3)


@kernel
def reduce(matrix: Any, m: int, mirrors: Any, scales: Any, diagonal: Any, beside: Any) -> None:
    """Reduce a symmetric matrix [m, m], which is the corner of one whose other entries are 0 and is overwritten.

    With reflections ``H_k = I - scales[k] v_k v_k^T``, where v_k is row k of `mirrors`,
    ``H_(m-3) ... H_0 matrix H_0 ... H_(m-3)`` has this `diagonal` [m], and `beside` [m - 1] above and below it.

    Shapes: `matrix` and `mirrors` [w, w], where w is m rounded up to a multiple of :data:`QUAD`; `scales` [w]. In
    `mirrors`, what no reflection fills has to be 0. Cost: ``4/3 m^3``.
    """
    width = len(matrix)
    flat, vectors = matrix.reshape(-1), mirrors.reshape(-1)
    zero, unmoved = four(0.0), np.zeros(width)
    p, q, twice, old = np.zeros(width), np.zeros(width), 0.0, width * (width - 1)
    scales[:] = 0.0
    mirrors[width - 1] = unmoved
    for k in range(m):
        row = k * width
        first = k - k % QUAD
        a = four(-vectors[old + k])
        b = four(twice * vectors[old + k] - p[k])
        v = mirrors[k]
        for j in range(first, width, QUAD):
            changed = add_product(load_beside(flat, row + j, zero), a, load_beside(p, j, zero))
            store(v, j, add_product(changed, b, load_beside(vectors, old + j, zero)))
            store(q, j, zero)
        diagonal[k] = v[k]
        if k == m - 1:
            break
        head = v[k + 1]
        v[first : k + 2] = 0.0
        squares = zero
        for j in range(first, width, QUAD):
            squares = add_product(squares, load_beside(v, j, zero), load_beside(v, j, zero))
        square = across(squares)
        if square <= TINY:
            beside[k] = head
            v[:] = 0.0
        else:
            length = np.sqrt(head * head + square)
            beside[k] = -length if head > 0.0 else length
            v[k + 1] = head - beside[k]
            scales[k] = 2.0 / (v[k + 1] * v[k + 1] + square)
        advance(flat, width, k + 1, vectors, old, row, p, twice, q)
        q[k] = 0.0
        scale, products = four(scales[k]), zero
        for j in range(first, width, QUAD):
            x = times(load_beside(q, j, zero), scale)
            store(q, j, x)
            products = add_product(products, x, load_beside(v, j, zero))
        twice = scales[k] * across(products)
        p, q, old = q, p, row


@kernel
def reflect_back(vectors: Any, width: int, m: int, mirrors: Any, scales: Any) -> None:
    """Turn eigenvectors of the tridiagonal matrix into those of the matrix that :func:`reduce` was given.

    The vectors are the columns of `vectors`, whose rows [m, width] lie in one array. Four reflections at a time are
    applied to :data:`LANES` columns. Cost: ``2 m^2`` for each column.
    """
    size, zero = len(mirrors), eight(0.0)
    for k in range(padded(max(m - 2, 0), 4) - 4, -1, -4):
        v0, v1, v2, v3 = mirrors[k], mirrors[k + 1], mirrors[k + 2], mirrors[k + 3]
        p01 = p02 = p03 = p12 = p13 = p23 = four(0.0)
        for i in range(k, size, QUAD):
            x0, x1 = load_beside(v0, i, p01), load_beside(v1, i, p01)
            x2, x3 = load_beside(v2, i, p01), load_beside(v3, i, p01)
            p01, p02, p03 = add_product(p01, x0, x1), add_product(p02, x0, x2), add_product(p03, x0, x3)
            p12, p13, p23 = add_product(p12, x1, x2), add_product(p13, x1, x3), add_product(p23, x2, x3)
        q01, q02, q03 = eight(across(p01)), eight(across(p02)), eight(across(p03))
        q12, q13, q23 = eight(across(p12)), eight(across(p13)), eight(across(p23))
        s0, s1 = eight(-scales[k]), eight(-scales[k + 1])
        s2, s3 = eight(-scales[k + 2]), eight(-scales[k + 3])
        for j in range(0, width, LANES):
            a = b = c = d = zero
            at = k * width + j
            for i in range(k, m):
                x = load_beside(vectors, at, zero)
                a, b = add_product(a, spread(zero, v0, i), x), add_product(b, spread(zero, v1, i), x)
                c, d = add_product(c, spread(zero, v2, i), x), add_product(d, spread(zero, v3, i), x)
                at += width
            d = times(s3, d)
            c = times(s2, add_product(c, q23, d))
            b = times(s1, add_product(add_product(b, q12, c), q13, d))
            a = times(s0, add_product(add_product(add_product(a, q01, b), q02, c), q03, d))
            at = k * width + j
            for i in range(k, m):
                x = add_product(load_beside(vectors, at, zero), spread(zero, v0, i), a)
                x = add_product(add_product(x, spread(zero, v1, i), b), spread(zero, v2, i), c)
                store(vectors, at, add_product(x, spread(zero, v3, i), d))
                at += width
