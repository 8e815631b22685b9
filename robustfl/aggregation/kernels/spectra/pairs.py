"""The eigenpairs of a symmetric matrix that rules ask for: the largest one, or the smallest ones.

A rule whose steps are compiled need not leave its loop for LAPACK, which takes longer to be asked than to answer for a
few rows, and several times as long for a hundred.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiling import kernel, quick_sums
from robustfl.aggregation.kernels.spectra.counting import eigenvalues, largest_eigenvalue, scale_down
from robustfl.aggregation.kernels.spectra.lockstep import LANES
from robustfl.aggregation.kernels.spectra.tridiagonal import padded, reduce, reflect_back
from robustfl.aggregation.kernels.spectra.vectors import mix_columns, multiply_columns, solve_twisted

SMALL = 1e-60
"""A matrix whose entries are between this and its inverse is computed with as it is."""

PRECISE = 64 * float(np.finfo(np.float64).eps)
"""What may be left of the equations of an eigenvector, as a share of the matrix: LAPACK leaves as much."""

STRAIGHT, BENT = 1e-13, 1e-8
"""Cosines between eigenvectors that need no correction, and those up to which the square of them is lost in rounding,
so that one correction is enough."""


@quick_sums
def magnitudes(row: Any) -> float:
    """The sum of the magnitudes of a row, in any order."""
    result = 0.0
    for j in range(len(row)):
        result += abs(row[j])
    return result


@kernel
def largest_eigenpair(matrix: Any, m: int) -> Any:
    """The largest eigenvalue of a symmetric matrix [m, m], and its eigenvector [m], of length 1.

    The matrix is the corner of `matrix` [w, w] as for :func:`reduce`. Where the largest eigenvalues tie, the vector is
    one of those that belong to them.
    """
    size, whole = 0.0, 1.0
    for i in range(m):
        size = max(size, magnitudes(matrix[i]))
    if not SMALL < size < 1.0 / SMALL:  # squares of entries must neither vanish nor overflow
        whole = 0.0
        for i in range(m):
            for j in range(m):
                whole = max(whole, abs(matrix[i, j]))
        if whole == 0.0:
            return 0.0, np.full(m, 1.0 / np.sqrt(m))
        for i in range(m):
            for j in range(m):
                matrix[i, j] /= whole
    mirrors, scales = np.zeros_like(matrix), np.empty(len(matrix))
    diagonal, beside = np.empty(m), np.empty(m - 1)
    reduce(matrix, m, mirrors, scales, diagonal, beside)
    small, less, squares = np.empty(m), np.empty(m - 1), np.empty(m - 1)
    unit = scale_down(diagonal, beside, small, less, squares)
    value = largest_eigenvalue(small, squares)
    vectors, lengths, vector = np.empty(m * LANES), np.empty(LANES), np.empty(m)
    solve_twisted(small, less, np.full(LANES, value), vectors, lengths, np.empty(LANES))
    reflect_back(vectors, LANES, m, mirrors, scales)
    for i in range(m):
        vector[i] = vectors[i * LANES] / np.sqrt(lengths[0])
    return value * unit * whole, vector


@kernel
def straighten(vectors: Any, m: int, k: int, lanes: int, squares: Any) -> bool:
    """Make the first k columns of `vectors` orthonormal and the others 0, if they nearly are; says whether.

    Each column is divided by its length. Where the cosines call for it, ``V (3 I - V^T V)/2`` follows: it is the
    nearest orthonormal system up to squares of cosines, and prefers no vector to others.
    """
    products, scales, worst = np.empty(lanes * lanes), np.zeros(lanes), 0.0
    multiply_columns(vectors, m, lanes, products)
    for j in range(k):
        scales[j] = 1.0 / np.sqrt(squares[j])
    for i in range(k):
        for j in range(i + 1, k):
            cosine = abs(products[i * lanes + j]) * scales[i] * scales[j]
            if not cosine <= BENT:
                return False
            worst = max(worst, cosine)
    if worst <= STRAIGHT:
        for at in range(0, m * lanes, lanes):
            for j in range(lanes):
                vectors[at + j] *= scales[j]
        return True
    for i in range(lanes):
        products[i * lanes + i] = scales[i] * (1.5 - 0.5 * products[i * lanes + i] * scales[i] ** 2)
        for j in range(i + 1, lanes):
            shared = -0.5 * products[i * lanes + j] * scales[i] * scales[j]
            products[i * lanes + j] = shared * scales[i]
            products[j * lanes + i] = shared * scales[j]
    mixed = np.empty_like(vectors)
    mix_columns(vectors, len(vectors) // lanes, lanes, products, mixed)
    vectors[:] = mixed
    return True


@kernel
def lanes_for(k: int) -> int:
    """The number of values and columns that :func:`least_eigenpairs` fills for k pairs."""
    return padded(k + 2, LANES)


@kernel
def least_eigenpairs(matrix: Any, m: int, k: int, mirrors: Any, values: Any, vectors: Any) -> bool:
    """The k smallest eigenpairs of a symmetric matrix [m, m], for 0 < k < m; says whether they were found.

    Where they are not, because eigenvalues lie too close together or the matrix falls into parts, LAPACK should be
    asked. Where they are, a count shows that the values are those of the ranks, each vector leaves no more than
    :data:`PRECISE` of its equation, and all are orthonormal within :data:`STRAIGHT`. Whether the value after them is
    far enough from the last one is for the caller to judge.

    Shapes: `matrix` and `mirrors` [w, w] as for :func:`reduce`; `values` [lanes] for the k values, the one after them
    in all further places, and the largest one in the last; `vectors` [w * lanes] for the rows of the k columns, and
    columns of 0. Cost: about 3 m^3 for k = m / 2, of which LAPACK needs more than thrice.
    """
    width, lanes = len(matrix), len(values)
    scales, diagonal, beside = np.empty(width), np.empty(m), np.empty(m - 1)
    reduce(matrix, m, mirrors, scales, diagonal, beside)
    small, less, squares = np.empty(m), np.empty(m - 1), np.empty(m - 1)
    unit = scale_down(diagonal, beside, small, less, squares)
    wanted = np.empty(lanes, np.int64)
    for j in range(lanes):
        wanted[j] = min(j, k)
    wanted[lanes - 1] = m - 1
    if not eigenvalues(small, squares, wanted, values):
        return False
    lengths, left = np.empty(lanes), np.empty(lanes)
    solve_twisted(small, less, values, vectors, lengths, left)
    for j in range(k):
        if not left[j] <= PRECISE * np.sqrt(lengths[j]):
            return False
    if not straighten(vectors, m, k, lanes, lengths):
        return False
    reflect_back(vectors, lanes, m, mirrors, scales)
    for j in range(lanes):
        values[j] *= unit
    return True
