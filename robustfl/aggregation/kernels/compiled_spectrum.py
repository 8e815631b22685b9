"""Compiled eigenpairs of small symmetric matrices, for rules that ask for one of them in every step.

LAPACK's `dsyevr` finds a single pair in about the same time from fifty rows on. Below, it takes longer to be asked than
to answer, and a rule whose steps are compiled need not leave its loop for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_gram import total
from robustfl.aggregation.kernels.compiling import kernel, quick_sums

EPSILON = float(np.finfo(np.float64).eps)

TINY = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)

SMALL = 1e-60
"""Entries of a matrix whose largest one is between this and its inverse are computed with as they are."""

SOLVES = 3
"""Steps of inverse iteration: one is enough unless the first vector has almost no share in the wanted one."""


@quick_sums
def inner(a: Any, b: Any) -> float:
    """The inner product of two vectors, in any order."""
    result = 0.0
    for i in range(len(a)):
        result += a[i] * b[i]
    return result


@kernel
def tridiagonal(matrix: Any, mirrors: Any, scales: Any, diagonal: Any, beside: Any) -> None:
    """Householder's reduction of a symmetric matrix [m, m], which is overwritten.

    With reflections ``H_k = I - scales[k] v_k v_k^T``, where v_k is row k of `mirrors` [m, m],
    ``H_(m-3) ... H_0 matrix H_0 ... H_(m-3)`` has this `diagonal` [m], and `beside` [m - 1] above and below it.
    """
    m = len(matrix)
    product = np.empty(m)
    for k in range(m - 2):
        diagonal[k] = matrix[k, k]
        first, v, p = k + 1, mirrors[k, k + 1 :], product[k + 1 :]
        v[:] = matrix[k, first:]
        square = inner(v[1:], v[1:])
        if square <= TINY:
            scales[k], beside[k] = 0.0, v[0]
            continue
        length = np.sqrt(v[0] * v[0] + square)
        beside[k] = -length if v[0] > 0.0 else length
        v[0] -= beside[k]
        scale = 2.0 / (v[0] * v[0] + square)
        for i in range(len(v)):
            p[i] = scale * inner(matrix[first + i, first:], v)
        half = 0.5 * scale * inner(p, v)
        for i in range(len(v)):
            p[i] -= half * v[i]
        for i in range(len(v)):
            row, a, b = matrix[first + i, first:], v[i], p[i]
            for j in range(len(v)):
                row[j] -= a * p[j] + b * v[j]
        scales[k] = scale
    for k in range(max(m - 2, 0), m):
        diagonal[k] = matrix[k, k]
    if m > 1:
        beside[m - 2] = matrix[m - 2, m - 1]


@kernel
def above(diagonal: Any, squares: Any, value: float) -> bool:
    """Whether `value` is larger than all eigenvalues of a tridiagonal matrix, of whose sides these are the squares."""
    pivot = value - diagonal[0]
    for i in range(1, len(diagonal)):
        if pivot <= 0.0:
            return False
        pivot = value - diagonal[i] - squares[i - 1] / pivot
    return bool(pivot > 0.0)


@kernel
def largest_eigenvalue(diagonal: Any, beside: Any) -> float:
    """The least number that is found to be above all eigenvalues of a tridiagonal matrix."""
    m, size = len(diagonal), 0.0
    low, high = diagonal[0], diagonal[0]
    for i in range(m):
        around = (abs(beside[i - 1]) if i else 0.0) + (abs(beside[i]) if i < m - 1 else 0.0)
        low, high = max(low, diagonal[i]), max(high, diagonal[i] + around)
        size = max(size, abs(diagonal[i]) + around)
    squares = beside * beside
    high += 4.0 * EPSILON * size + TINY
    while high - low > 2.0 * EPSILON * max(abs(low), abs(high)) + TINY:
        middle = low + 0.5 * (high - low)
        if above(diagonal, squares, middle):
            high = middle
        else:
            low = middle
    return float(high)


@kernel
def largest_eigenpair(matrix: Any) -> Any:
    """The largest eigenvalue of a symmetric matrix [m, m], and its eigenvector [m], of length 1.

    The matrix is overwritten. Where the largest eigenvalues tie, the vector is one of those that belong to them.
    """
    m, largest = len(matrix), 0.0
    for i in range(m):
        for j in range(m):
            largest = max(largest, abs(matrix[i, j]))
    if largest == 0.0:
        return 0.0, np.full(m, 1.0 / np.sqrt(m))
    unit = 1.0 if SMALL < largest < 1.0 / SMALL else largest  # squares of entries neither vanish nor overflow
    matrix /= unit
    mirrors, scales = np.empty((m, m)), np.empty(m)
    diagonal, beside = np.empty(m), np.empty(max(m - 1, 0))
    tridiagonal(matrix, mirrors, scales, diagonal, beside)
    value = largest_eigenvalue(diagonal, beside)
    pivots, vector = np.empty(m), np.empty(m)
    least = EPSILON * max(abs(value), TINY)
    for i in range(m):
        pivot = value - diagonal[i] - (beside[i - 1] * beside[i - 1] / pivots[i - 1] if i else 0.0)
        pivots[i] = max(pivot, least)
        vector[i] = 1.0 + (i * 0.6180339887498949) % 1.0  # no vector that a matrix has for a reason of its own
    for _ in range(SOLVES):
        vector /= np.sqrt(total(vector * vector))
        for i in range(1, m):
            vector[i] += beside[i - 1] / pivots[i - 1] * vector[i - 1]
        vector[m - 1] /= pivots[m - 1]
        for i in range(m - 2, -1, -1):
            vector[i] = (vector[i] + beside[i] * vector[i + 1]) / pivots[i]
    vector /= np.sqrt(total(vector * vector))
    for k in range(m - 3, -1, -1):
        if scales[k] != 0.0:
            part, v = vector[k + 1 :], mirrors[k, k + 1 :]
            share = scales[k] * inner(part, v)
            for i in range(len(v)):
                part[i] -= share * v[i]
    return value * unit, vector


@kernel
def filtered(centred: Any, n: int, f: int, alike: float) -> Any:
    """The weights [n] of the covariance-bound-agnostic filter, from inner products `centred` of at least n points.

    See :class:`robustfl.defenses.CAF`.
    """
    trust, answer, least = np.ones(n), np.full(n, 1.0 / n), np.inf
    while total(trust) > n - 2 * f:
        active = np.flatnonzero(trust)
        m = len(active)
        share = trust[active]
        share /= total(share)
        inside, largest = np.empty((m, m)), 0.0
        for i in range(m):
            for j in range(m):
                inside[i, j] = centred[active[i], active[j]]
            largest = max(largest, inside[i, i])
        to_mean, root, scaled = inside @ share, np.sqrt(share), np.empty((m, m))
        between = total(share * to_mean)
        for i in range(m):
            for j in range(m):
                inside[i, j] = inside[i, j] - to_mean[i] - to_mean[j] + between
                scaled[i, j] = root[i] * inside[i, j] * root[j]
        variance, vector = largest_eigenpair(scaled)
        variance = max(variance, 0.0)
        if variance < least:
            least = variance
            answer[:] = 0.0
            answer[active] = share
        if variance <= m * EPSILON * largest:
            break
        distances = np.abs(inside @ (root * vector))
        farthest = distances.max()
        if farthest == 0.0:
            break
        distances /= farthest
        for i in range(m):
            trust[active[i]] *= 1.0 - distances[i] ** 2 if distances[i] < 1.0 - alike else 0.0
    return answer


@kernel
def filtered_all(centred: Any, n: int, f: int, alike: float) -> Any:
    """The weights [g, n] that :func:`filtered` finds in each of the matrices `centred`, [g, p, p]."""
    answers = np.empty((len(centred), n))
    for place in range(len(centred)):
        answers[place] = filtered(centred[place], n, f, alike)
    return answers


@kernel
def flag(
    centred: Any,
    n: int,
    dimension: int,
    scaled: bool,
    iterations: int,
    tolerance: float,
    regularisation: float,
    rounding: float,
    clear: float,
    steep: float,
) -> Any:
    """The lengths [n] of the rows, and what weights [n] the Flag Aggregator gives them before its answer is rescaled.

    The vectors ``sqrt(s_i) u_i``, for slopes s and unit rows u, have the inner products
    ``sqrt(s_i) <u_i, u_j> sqrt(s_j)``. Each eigenvector v of these, with its eigenvalue l, belongs to a direction of
    the scatter of the vectors, and that direction holds the share ``l v_i^2 / s_i`` of u_i. So no coordinates are
    needed. But a product of rows must not be what is left of larger ones (less than the share `clear` of them), and no
    eigenvalue of ``<u_i, u_j>`` may be smaller than the share `steep` of the largest one. Otherwise both results are
    empty.

    With `scaled`, what is projected are the rows themselves. See :class:`robustfl.defenses.Flag`.
    """
    lengths, nothing = np.empty(n), np.empty(0)
    for i in range(n):
        square = centred[i, i] - 2.0 * centred[i, n] + centred[n, n]
        if not square > clear * (centred[i, i] + centred[n, n]) + TINY:
            return nothing, nothing
        lengths[i] = np.sqrt(square)
    units, missed = np.empty((n, n)), np.ones(n)
    for i in range(n):
        for j in range(n):
            product = centred[i, j] - centred[i, n] - centred[j, n] + centred[n, n]
            units[i, j] = product / (lengths[i] * lengths[j])
    projected = lengths.copy() if scaled else np.ones(n)
    root, shares, around, objective = np.empty(n), np.empty(n), np.empty((n, n)), np.inf
    for step in range(iterations):
        for i in range(n):
            root[i] = (missed[i] + regularisation) ** -0.25
        for i in range(n):
            for j in range(n):
                around[i, j] = root[i] * units[i, j] * root[j]
        values, vectors = np.linalg.eigh(around)
        if step == 0 and not values[0] > steep * values[n - 1]:
            return nothing, nothing
        last, slack = values[n - dimension], rounding * values[n - 1]
        above, tied = 0, 0
        for j in range(n):
            above += values[j] > last + slack
            tied += abs(values[j] - last) <= slack
        missed[:] = 0.0
        for j in range(n):
            inside = values[j] > last + slack
            shares[j] = 1.0 if inside else (dimension - above) / tied if abs(values[j] - last) <= slack else 0.0
            if not inside:
                left = (1.0 - shares[j]) * values[j]
                for i in range(n):
                    missed[i] += left * vectors[i, j] ** 2
        before, objective = objective, 0.0
        for i in range(n):
            missed[i] = min(missed[i] / root[i] ** 2, 1.0)
            objective += np.sqrt(missed[i] + regularisation)
        if before - objective <= tolerance:
            break
    projected = root * (vectors @ (shares * (vectors.T @ (projected / root))))
    return lengths, projected / lengths
