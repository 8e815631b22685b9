"""Compiled loops of rules that ask for eigenpairs of a small symmetric matrix in every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_gram import total
from robustfl.aggregation.kernels.compiling import kernel, quick_sums
from robustfl.aggregation.kernels.spectra.counting import EPSILON
from robustfl.aggregation.kernels.spectra.lockstep import QUAD
from robustfl.aggregation.kernels.spectra.pairs import lanes_for, largest_eigenpair, least_eigenpairs
from robustfl.aggregation.kernels.spectra.tridiagonal import TINY, padded


@quick_sums
def inner(a: Any, b: Any) -> float:
    """The inner product of two vectors, in any order."""
    result = 0.0
    for i in range(len(a)):
        result += a[i] * b[i]
    return result


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
            row, products = inside[i], centred[active[i]]
            for j in range(m):
                row[j] = products[active[j]]
            largest = max(largest, row[i])
        to_mean, root = inside @ share, np.sqrt(share)
        between, width = total(share * to_mean), padded(m, QUAD)
        scaled = np.zeros((width, width))
        for i in range(m):
            row, weighted, mine, factor = inside[i], scaled[i], to_mean[i], root[i]
            for j in range(m):
                row[j] = row[j] - mine - to_mean[j] + between
                weighted[j] = factor * row[j] * root[j]
        variance, vector = largest_eigenpair(scaled, m)
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


@quick_sums
def weighted_squares(weights: Any, row: Any) -> float:
    """The sum of the squares of a row, each times its weight, in any order."""
    result = 0.0
    for j in range(len(row)):
        result += weights[j] * (row[j] * row[j])
    return result


@kernel
def set_scatter(units: Any, root: Any, scatter: Any) -> None:
    """Fill the corner of `scatter` with ``root_i <u_i, u_j> root_j``."""
    for i in range(len(units)):
        row, products, factor = scatter[i], units[i], root[i]
        for j in range(len(units)):
            row[j] = factor * products[j] * root[j]


@kernel
def outside(units: Any, root: Any, dimension: int, rounding: float, mirrors: Any) -> Any:
    """What lies outside of the subspace of the largest eigenvalues of :func:`set_scatter`: see :func:`flag`.

    The results are eigenvalues, the first of which is the smallest and the last the largest, how far the direction of
    each lies outside of the subspace, and the eigenvectors in the columns of a matrix. If the last direction of the
    subspace ties with others, all of them share the free places equally. Then, and wherever
    :func:`least_eigenpairs` cannot, LAPACK finds the eigenvectors.
    """
    n, scatter = len(units), np.zeros_like(mirrors)
    k = n - dimension
    values, rows = np.empty(lanes_for(k)), np.empty(len(mirrors) * lanes_for(k))
    set_scatter(units, root, scatter)
    found = least_eigenpairs(scatter, n, k, mirrors, values, rows)
    if found and values[k] - values[k - 1] > 2.0 * rounding * values[-1]:
        parts = np.zeros(len(values))
        parts[:k] = 1.0
        return values, parts, rows.reshape(len(mirrors), len(values))
    set_scatter(units, root, scatter)
    values, vectors = np.linalg.eigh(scatter[:n, :n])
    last, slack, parts, columns, above, tied = values[k], rounding * values[-1], np.zeros(n), np.empty((n, n)), 0, 0
    for j in range(n):
        above += values[j] > last + slack
        tied += abs(values[j] - last) <= slack
    for j in range(n):
        if abs(values[j] - last) <= slack:
            parts[j] = 1.0 - (dimension - above) / tied
        elif values[j] < last:
            parts[j] = 1.0
        for i in range(n):
            columns[i, j] = vectors[i, j]
    return values, parts, columns


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
    units, missed, origin = np.empty((n, n)), np.ones(n), centred[n]
    for i in range(n):
        row, from_point, own = centred[i], centred[i, n], lengths[i]
        for j in range(n):
            units[i, j] = (row[j] - from_point - origin[j] + origin[n]) / (own * lengths[j])
    root, objective, mirrors = np.empty(n), np.inf, np.zeros((padded(n, QUAD), padded(n, QUAD)))
    for step in range(iterations):
        for i in range(n):
            root[i] = (missed[i] + regularisation) ** -0.25
        values, parts, vectors = outside(units, root, dimension, rounding, mirrors)
        if step == 0 and not values[0] > steep * values[-1]:
            return nothing, nothing
        if step == iterations - 1:
            break
        for j in range(len(parts)):
            values[j] *= parts[j]
        before, objective = objective, 0.0
        for i in range(n):
            missed[i] = min(weighted_squares(values, vectors[i]) / root[i] ** 2, 1.0)
            objective += np.sqrt(missed[i] + regularisation)
        if before - objective <= tolerance:
            break
    point, along = np.empty(n), np.zeros(len(parts))
    for i in range(n):
        point[i] = (lengths[i] if scaled else 1.0) / root[i]
        for j in range(len(parts)):
            along[j] += point[i] * vectors[i, j]
    for j in range(len(parts)):
        along[j] *= parts[j]
    for i in range(n):
        point[i] = root[i] * (point[i] - inner(vectors[i], along)) / lengths[i]
    return lengths, point
