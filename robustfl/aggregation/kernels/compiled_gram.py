"""Compiled loops over a small Gram, for what rules compute in many short steps, which numpy is slow to begin.

Sums and products are taken in the order in which numpy takes them, so the results are those of the numpy forms (in
:mod:`robustfl.aggregation.updates.gram` and in the rules) to the last bit wherever both link the same BLAS. Sums over
more than :data:`~robustfl.aggregation.kernels.choice.MOST_POINTS` numbers have another order in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_geometry import BESIDE, pull, row_extents, squares_around, whole_gram
from robustfl.aggregation.kernels.compiled_vectors import fetch_number
from robustfl.aggregation.kernels.compiling import kernel

EIGHT = 8
"""Running sums of numpy."""

ABOUT = 1e-6
"""Share by which a sum of distances may be above the least one and still be it, by far more than what rounding does."""


@kernel
def total(values: Any) -> Any:
    """The sum of a vector in eight running sums."""
    n = len(values)
    if n < EIGHT:
        result = -0.0
        for value in values:
            result += value
        return result
    sums = values[:EIGHT].copy()
    whole = n - n % EIGHT
    for first in range(EIGHT, whole, EIGHT):
        for q in range(EIGHT):
            sums[q] += values[first + q]
    result = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, n):
        result += values[i]
    return result


@kernel
def inner(a: Any, b: Any) -> float:
    """The inner product of two vectors in the order of `np.einsum`: two running sums, by fours and backwards."""
    n = len(a)
    even = odd = 0.0
    first = 0
    while n - first >= EIGHT:
        for q in range(first + 6, first - 1, -2):
            even += a[q] * b[q]
            odd += a[q + 1] * b[q + 1]
        first += EIGHT
    for i in range(first, n - 1, 2):
        even += a[i] * b[i]
        odd += a[i + 1] * b[i + 1]
    if (n - first) % 2:
        even += a[n - 1] * b[n - 1]
    return even + odd


@kernel
def median(values: Any) -> float:
    """The middle value, or the average of the middle two."""
    ordered = values.copy()
    n = len(ordered)
    for i in range(1, n):
        value, at = ordered[i], i
        while at > 0 and ordered[at - 1] > value:
            ordered[at] = ordered[at - 1]
            at -= 1
        ordered[at] = value
    if n % 2:
        return float(ordered[n // 2])
    return float((ordered[n // 2 - 1] + ordered[n // 2]) / 2.0)


@kernel
def set_squared_distances(centred: Any, squared: Any, rounding: float) -> None:
    """Fill `squared` [n, n] with the squared distances between the first n points; see :func:`squared_distances`."""
    n = len(squared)
    for i in range(n):
        for j in range(n):
            size = centred[i, i] + centred[j, j]
            value = size - (centred[i, j] + centred[j, i])
            squared[i, j] = value if i != j and not value <= rounding * size else 0.0


@kernel
def squared_distances(centred: Any, n: int, rounding: float) -> Any:
    """The squared distances [n, n] between the first n points; 0 where only `rounding`, a share, is left of one."""
    squared = np.empty((n, n))
    set_squared_distances(centred, squared, rounding)
    return squared


@kernel
def squared_distances_from(centred: Any, n: int, weights: Any) -> Any:
    """The squared distances [n] from the point that `weights` make of the rows and the extra points."""
    point = np.zeros(len(centred))
    point[:n] = weights[:n]
    point[n + 1 : len(weights) + 1] = weights[n:]
    point[n] = 1.0 - total(weights)
    reach = centred @ point
    own = point @ reach
    squared = np.zeros(n)
    for i in range(n):
        value = centred[i, i] - 2.0 * reach[i] + own
        if not value <= 0.0:
            squared[i] = value
    return squared


@kernel
def squared_length(centred: Any, n: int, coefficients: Any) -> float:
    """The squared length of a combination of the rows."""
    full = np.zeros(len(centred))
    full[:n] = coefficients
    full[n] = -total(coefficients)
    length = inner(full @ centred, full)
    return 0.0 if length <= 0.0 else length


@kernel
def clipped(centred: Any, n: int, iterations: int, radius: float) -> Any:
    """The weights [n + 1] of centered clipping around the extra point; the median distance if `radius` is not positive.

    See :class:`robustfl.defenses.CenteredClipping`.
    """
    weights = np.zeros(n + 1)
    weights[n] = 1.0
    for _ in range(iterations):
        distances = np.sqrt(squared_distances_from(centred, n, weights))
        length = radius if radius > 0.0 else median(distances)
        kept = np.ones(n)
        for i in range(n):
            if distances[i] > length:
                kept[i] = length / distances[i]
        weights *= 1.0 - total(kept) / n
        for i in range(n):
            weights[i] += kept[i] / n
    return weights


@kernel
def clipped_rows(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    like: Any,
    iterations: int,
    radius: float,
    point: Any,
    weights: Any,
) -> None:
    """Centered clipping of the rows themselves: moves `point`, and fills in its `weights`; see :func:`clipped`.

    `like` and the end of `point` have room for a vector.
    """
    squares, kept, shift = np.empty(n), np.empty(n), np.empty(len(point))
    weights[:] = 0.0
    weights[n] = 1.0
    for _ in range(iterations):
        squares_around(address, stride, n, columns, lanes, like, point, squares)
        distances = np.sqrt(squares)
        length = radius if radius > 0.0 else median(distances)
        for i in range(n):
            kept[i] = length / distances[i] if distances[i] > length else 1.0
        left = 1.0 - total(kept) / n
        for i in range(n):
            kept[i] /= n
            weights[i] = weights[i] * left + kept[i]
        weights[n] *= left
        pull(address, stride, n, columns, lanes, like, kept, point, shift)


@kernel
def minimising_rows(centred: Any, squared: Any, slack: float) -> Any:
    """1 for the rows that minimise the sum of distances over the whole space, 0 for the others, [n].

    Such a row also has the least sum of distances among the rows. So only rows whose sum is about as small are looked
    at, as rounding may hide which is smaller; see :class:`robustfl.defenses.GeometricMedian`.
    """
    n = len(squared)
    distances = np.sqrt(squared)
    sums, minimal, full = np.empty(n), np.zeros(n), np.empty(len(centred))
    for i in range(n):
        sums[i] = total(distances[i])
    most = sums.min() * (1.0 + ABOUT)
    for i in range(n):
        if sums[i] > most:
            continue
        here = 0.0
        full[:] = 0.0
        for j in range(n):
            if squared[i, j] == 0.0:
                here += 1.0
            else:
                full[j] = 1.0 / distances[i, j]
        full[i] = -total(full[:n])
        full[n] = -total(full[:n])
        length = inner(full @ centred, full)
        if length <= 0.0 or np.sqrt(length) <= here * slack:
            minimal[i] = 1.0
    return minimal


@kernel
def weiszfeld(
    centred: Any, n: int, weights: Any, iterations: int, tolerance: float, smoothing: float, noise: float
) -> Any:
    """The weights [n] of the geometric median, by at most so many steps from the point of `weights`.

    See :class:`robustfl.defenses.GeometricMedian`.
    """
    for _ in range(iterations):
        distances = np.sqrt(squared_distances_from(centred, n, weights))
        scale = median(distances)
        previous, weights = weights, weiszfeld_step(centred, n, weights, distances, smoothing, noise * scale)
        limit = tolerance * scale
        if squared_length(centred, n, weights - previous) <= limit * limit:
            break
    return weights


@kernel
def geometric_medians(
    centred: Any,
    n: int,
    central: bool,
    share: float,
    iterations: int,
    tolerance: float,
    smoothing: float,
    noise: float,
    rounding: float,
    slack: float,
) -> Any:
    """The weights [g, n] of the geometric medians of the first n points in each of the matrices `centred`, [g, p, p].

    The steps begin at the row of smallest median distance if `central`, else where every row has the weight `share`.
    """
    answers = np.empty((len(centred), n))
    for place in range(len(centred)):
        one, weights = centred[place], np.full(n, share)
        squared = squared_distances(one, n, rounding)
        if smoothing == 0.0:
            minimal = minimising_rows(one, squared, slack)
            if minimal.any():
                answers[place] = minimal / total(minimal)
                continue
        if central:
            first, least = 0, np.inf
            for i in range(n):
                middle = median(squared[i])
                if middle < least:
                    first, least = i, middle
            weights[:] = 0.0
            weights[first] = 1.0
        answers[place] = weiszfeld(one, n, weights, iterations, tolerance, smoothing, noise)
    return answers


@kernel
def weiszfeld_step(centred: Any, n: int, weights: Any, distances: Any, smoothing: float, near: float) -> Any:
    """One step, in which rows at a distance of at most `near` only make the step shorter."""
    if smoothing > 0.0:
        smoothed = 1.0 / np.maximum(distances, smoothing)
        return smoothed / total(smoothed)
    pull, on_it = np.zeros(n), 0
    for i in range(n):
        if distances[i] <= near:
            on_it += 1
        else:
            pull[i] = 1.0 / distances[i]
    if on_it == n:
        return weights
    strength = total(pull)
    target = pull / strength
    if on_it == 0:
        return target
    length = np.sqrt(squared_length(centred, n, pull - strength * weights))
    stay = min(1.0, on_it / max(length, 1.0))
    return stay * weights + (1.0 - stay) * target


@kernel
def typical(squares: Any, alike: float) -> int:
    """The (first) row of median norm, or -1 if no majority is about equally long: within the ratio `alike`."""
    n = len(squares)
    order = np.empty(n, np.intp)
    for i in range(n):
        row, at = i, i
        while at > 0 and squares[order[at - 1]] > squares[row]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = row
    half = (n - 1) // 2
    for k in range(half + 1):
        if squares[order[n - 1 - half + k]] <= alike * squares[order[k]]:
            return int(order[half])
    return -1


@kernel
def far(centred: Any, squared: Any, ratio: float) -> bool:
    """Whether the reference may be far from a row whose distances to most rows are small; far is more than `ratio`."""
    n = len(squared)
    near = 0.0
    for i in range(n):
        near = max(near, centred[i, i])
    near *= 2.0 / ratio
    for i in range(n):
        count = 0
        for j in range(n):
            if squared[i, j] < near:
                count += 1
        if count > (n - 1) // 2:
            return True
    return False


@kernel
def clean_gram(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    like: Any,
    limit: float,
    width: int,
    extras: Any,
    alike: float,
    ratio: float,
    rounding: float,
    extent: Any,
    centred: Any,
    squared: Any,
) -> int:
    """The whole Gram of one block around its typical row: 1 if it is there, 2 if its reference may be :func:`far`.

    It is 0, and there is no Gram, if a value is larger than `limit` in magnitude, or NaN. `extent` [2, n] gets the
    largest magnitude and the sum of squares of each row, `centred` [n + 1 + e, n + 1 + e] the inner products, `width`
    columns at a time, `squared` [n, n] the :func:`squared_distances`. `extras` [e, b] are extra points.
    """
    rest = np.zeros((n, lanes), like.dtype)
    row_extents(address, stride, n, columns, lanes, rest, extent[0], extent[1])
    for i in range(n):
        if not extent[0, i] <= limit:
            return 0
    place = typical(extent[1], alike)
    centre, others = np.zeros(columns + lanes), np.zeros((1 + len(extras), columns + lanes))
    if place >= 0:
        for j in range(columns):
            centre[j] = fetch_number(like, address + place * stride + j * like.itemsize)
    for j in range(columns):
        others[0, j] = 0.0 - centre[j]
        for e in range(len(extras)):
            others[1 + e, j] = extras[e, j] - centre[j]
    points = len(centred)
    padded = -(-points // BESIDE) * BESIDE
    gram = np.zeros((padded, padded))
    tile = np.zeros((padded, min(width, -(-columns // lanes) * lanes)))
    whole_gram(address, stride, n, columns, lanes, rest, centre, others, tile, gram)
    for i in range(points):
        for j in range(points):
            centred[i, j] = gram[i, j]
    set_squared_distances(centred, squared, rounding)
    return 2 if far(centred, squared, ratio) else 1
