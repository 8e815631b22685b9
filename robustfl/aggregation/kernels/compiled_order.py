"""Compiled order statistics of columns: one tile of columns at a time, and one vector of columns in each step.

A tile holds, for each group of `lanes` neighbouring columns, the n vectors of that group one after the other. A group
stays in the first-level cache while it is worked on. There are two ways to an order statistic, and the caller chooses:

- A comparator network (see :mod:`robustfl.aggregation.kernels.sorting_networks`) runs on the rows of the group.
- For many rows, bisection finds the bits of the answer: each round counts the values below a pivot.

Every column goes through the same operations wherever it is, so results do not depend on how the columns are cut into
blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_vectors import (
    address_of,
    count_below,
    fetch,
    fill,
    from_image,
    high,
    load,
    load_beside,
    low,
    magnitude,
    minus,
    narrow,
    over,
    pad,
    plus,
    rank_image,
    store,
    times,
    where_at_most,
    where_equal,
    where_less,
    widen,
)
from robustfl.aggregation.kernels.compiling import kernel


@kernel
def pack(address: int, stride: int, n: int, lanes: int, groups: int, tile: Any) -> None:
    """Copy the columns of a matrix, whose rows are `stride` bytes apart, into the order of a tile."""
    for i in range(n):
        source = address + i * stride
        for group in range(groups):
            store(tile, (group * n + i) * lanes, fetch(tile, source + group * lanes * tile.itemsize))


@kernel
def run_network(tile: Any, base: int, lanes: int, network: Any) -> None:
    """Apply comparators to the rows of the group that starts at element `base`."""
    for c in range(network.shape[0]):
        a, b = base + network[c, 0] * lanes, base + network[c, 1] * lanes
        x, y = load(tile, a), load(tile, b)
        store(tile, a, low(x, y))
        store(tile, b, high(x, y))


@kernel
def bisect(tile: Any, base: int, lanes: int, n: int, rank: int) -> Any:
    """The value of `rank` in each column: the largest v with at most `rank` values below v, found bit by bit."""
    bits = 8 * tile.itemsize
    zero = fill(rank_image(load(tile, base)), 0)
    answer, allowed = fill(zero, np.int64(-1) << (bits - 1)), fill(zero, rank)
    for bit in range(bits - 1, -1, -1):
        trial = plus(answer, fill(zero, np.int64(1) << bit))
        pivot = from_image(trial)
        count = zero
        for i in range(n):
            count = count_below(count, load(tile, base + i * lanes), pivot)
        answer = where_at_most(count, allowed, trial, answer)
    return from_image(answer)


@kernel
def next_rank(tile: Any, base: int, lanes: int, n: int, rank: int, value: Any) -> Any:
    """The value of rank + 1, given the `value` of `rank`: `value` again if it is repeated, else the next larger one."""
    zero = fill(rank_image(value), 0)
    one, at_most, above = fill(zero, 1), zero, fill(value, np.inf)
    for i in range(n):
        x = load(tile, base + i * lanes)
        at_most = where_less(value, x, at_most, plus(at_most, one))
        above = where_less(value, x, low(above, x), above)
    return where_at_most(at_most, fill(zero, rank + 1), above, value)


@kernel
def middle(a: Any, b: Any) -> Any:
    """The average of two vectors as float64; if a sum overflows, both values are halved first."""
    x, y = widen(a), widen(b)
    half, total = fill(x, 0.5), plus(x, y)
    safe = plus(times(x, half), times(y, half))
    return where_less(magnitude(total), fill(x, np.inf), times(total, half), safe)


@kernel
def share(total: Any, count: int, out: Any) -> Any:
    """``total / count``; if the result is rounded to float32, a product is as exact and several times faster."""
    if out.itemsize == 4:
        return times(total, fill(total, 1.0 / count))
    return over(total, fill(total, 1.0 * count))


@kernel
def median(
    address: int, stride: int, n: int, columns: int, lanes: int, network: Any, by_network: bool, tile: Any, out: Any
) -> None:
    """The middle value of each column, or the average of the middle two for even n."""
    lower, upper = (n - 1) // 2, n // 2
    wide = tile.size // (n * lanes) * lanes
    for first in range(0, columns, wide):
        groups = min(wide, columns - first) // lanes
        pack(address + first * tile.itemsize, stride, n, lanes, groups, tile)
        for group in range(groups):
            base = group * n * lanes
            if by_network:
                run_network(tile, base, lanes, network)
                a, b = load(tile, base + lower * lanes), load(tile, base + upper * lanes)
            else:
                a = bisect(tile, base, lanes, n, lower)
                b = a if lower == upper else next_rank(tile, base, lanes, n, lower, a)
            store(out, first + group * lanes, narrow(middle(a, b), out))


@kernel
def medians(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    rest: Any,
    network: Any,
    by_network: bool,
    tile: Any,
    out: Any,
) -> None:
    """:func:`median` for any number of columns; see :func:`pad`."""
    whole = pad(address, stride, n, columns, lanes, rest)
    if whole:
        median(address, stride, n, whole, lanes, network, by_network, tile, out)
    if whole < columns:
        at, step = address_of(rest), lanes * rest.itemsize
        median(at, step, n, lanes, lanes, network, by_network, tile, out[whole:])


@kernel
def trimmed_mean(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    f: int,
    network: Any,
    by_network: bool,
    tile: Any,
    out: Any,
) -> None:
    """The mean of the ranks f, ..., n - f - 1 of each column."""
    wide = tile.size // (n * lanes) * lanes
    for first in range(0, columns, wide):
        groups = min(wide, columns - first) // lanes
        pack(address + first * tile.itemsize, stride, n, lanes, groups, tile)
        for group in range(groups):
            base = group * n * lanes
            if by_network:
                run_network(tile, base, lanes, network)
                total = band_sum(tile, base, lanes, f, n - f)
            else:
                least = bisect(tile, base, lanes, n, f)
                most = bisect(tile, base, lanes, n, n - 1 - f)
                total = sum_between(tile, base, lanes, n, f, least, most)
            store(out, first + group * lanes, narrow(share(total, n - 2 * f, out), out))


@kernel
def trimmed_means(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    rest: Any,
    f: int,
    network: Any,
    by_network: bool,
    tile: Any,
    out: Any,
) -> None:
    """:func:`trimmed_mean` for any number of columns; see :func:`pad`."""
    whole = pad(address, stride, n, columns, lanes, rest)
    if whole:
        trimmed_mean(address, stride, n, whole, lanes, f, network, by_network, tile, out)
    if whole < columns:
        at, step = address_of(rest), lanes * rest.itemsize
        trimmed_mean(at, step, n, lanes, lanes, f, network, by_network, tile, out[whole:])


@kernel
def band_sum(tile: Any, base: int, lanes: int, start: int, stop: int) -> Any:
    """The float64 sum of the rows start, ..., stop - 1."""
    total = fill(widen(load(tile, base)), 0.0)
    for i in range(start, stop):
        total = plus(total, widen(load(tile, base + i * lanes)))
    return total


@kernel
def sum_between(tile: Any, base: int, lanes: int, n: int, f: int, least: Any, most: Any) -> Any:
    """The float64 sum of the ranks f, ..., n - f - 1, whose smallest value is `least` and whose largest is `most`.

    All values strictly between the two count. Of the values at or below `least`, f are cut off, and the others that
    count equal `least`; the same holds at `most`.
    """
    zero = fill(rank_image(least), 0)
    one, below, above = fill(zero, 1), zero, zero
    nothing = fill(least, 0.0)
    total = fill(widen(least), 0.0)
    for i in range(n):
        x = load(tile, base + i * lanes)
        below = where_less(least, x, below, plus(below, one))
        above = where_less(x, most, above, plus(above, one))
        inside = where_less(least, x, where_less(x, most, x, nothing), nothing)
        total = plus(total, widen(inside))
    spare = fill(total, -1.0 * f)
    total = plus(total, times(plus(widen(below), spare), widen(least)))
    total = plus(total, times(plus(widen(above), spare), widen(most)))
    constant = times(fill(total, 1.0 * (n - 2 * f)), widen(least))
    return where_less(widen(least), widen(most), total, constant)


@kernel
def mean_around(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    centre: Any,
    count: int,
    network: Any,
    by_network: bool,
    tile: Any,
    distances: Any,
    out: Any,
) -> None:
    """The mean of the `count` values of each column that are nearest to its centre; of equal ones, the earlier row.

    The distance of rank ``count - 1`` separates them. If the values at exactly this distance are all the same number,
    it does not matter which rows they come from. If they differ, :func:`settle` computes the column.
    """
    wide = tile.size // (n * lanes) * lanes
    exact = np.empty(n, np.float64)
    for first in range(0, columns, wide):
        groups = min(wide, columns - first) // lanes
        pack(address + first * tile.itemsize, stride, n, lanes, groups, tile)
        for group in range(groups):
            base, column = group * n * lanes, first + group * lanes
            around = load_beside(centre, column, load(tile, base))
            for i in range(n):
                store(distances, i * lanes, apart(load(tile, base + i * lanes), around, tile))
            if by_network:
                run_network(distances, 0, lanes, network)
                border = load(distances, (count - 1) * lanes)
            else:
                border = bisect(distances, 0, lanes, n, count - 1)
            total, least, most = sum_near(tile, base, lanes, n, count, around, border)
            store(out, column, narrow(share(total, count, out), out))
            store(distances, 0, least)
            store(distances, lanes, most)
            for q in range(lanes):
                if distances[q] != distances[lanes + q]:
                    for i in range(n):
                        exact[i] = tile[base + i * lanes + q]
                    out[column + q] = settle(exact, np.float64(centre[column + q]), count)


@kernel
def apart(x: Any, around: Any, tile: Any) -> Any:
    """The distances of float64, rounded to the type of the tile, which keeps their order."""
    return narrow(magnitude(minus(widen(x), around)), tile)


@kernel
def sum_near(tile: Any, base: int, lanes: int, n: int, count: int, around: Any, border: Any) -> Any:
    """The sum of `count` values within `border` of `around`, and the least and largest value exactly at the border.

    The sum is right only for columns in which these two values are equal.
    """
    inside = fill(rank_image(border), 0)
    one, nothing = fill(inside, 1), fill(border, 0.0)
    total = fill(around, 0.0)
    for i in range(n):
        x = load(tile, base + i * lanes)
        distance = apart(x, around, tile)
        inside = where_less(distance, border, plus(inside, one), inside)
        total = plus(total, widen(where_less(distance, border, x, nothing)))
    least, most = fill(border, np.inf), fill(border, -np.inf)
    for i in range(n):
        x = load(tile, base + i * lanes)
        distance = apart(x, around, tile)
        least = where_equal(distance, border, low(x, least), least)
        most = where_equal(distance, border, high(most, x), most)
    missing = minus(fill(total, 1.0 * count), widen(inside))
    return plus(total, times(missing, widen(least))), least, most


@kernel
def settle(values: Any, centre: float, count: int) -> float:
    """The mean of the `count` values of one column nearest to `centre`, in float64; of equal ones, the earlier row.

    It finds the distance of rank ``count - 1`` by bisection over its bits: non-negative floats have the same order as
    their bits.
    """
    distances = np.abs(values - centre)
    keys = distances.view(np.int64)
    border = np.int64(0)
    for bit in range(62, -1, -1):
        trial = border | (np.int64(1) << bit)
        if (keys < trial).sum() < count:
            border = trial
    missing = count - (keys < border).sum()
    total = 0.0
    for i in range(len(values)):
        if keys[i] < border:
            total += values[i]
        elif keys[i] == border and missing > 0:
            total += values[i]
            missing -= 1
    return total / count


@kernel
def means_around(
    address: int,
    stride: int,
    n: int,
    columns: int,
    lanes: int,
    rest: Any,
    centre: Any,
    count: int,
    network: Any,
    by_network: bool,
    tile: Any,
    distances: Any,
    out: Any,
) -> None:
    """:func:`mean_around` for any number of columns; see :func:`pad`."""
    whole = pad(address, stride, n, columns, lanes, rest)
    if whole:
        mean_around(address, stride, n, whole, lanes, centre, count, network, by_network, tile, distances, out)
    if whole < columns:
        at, step = address_of(rest), lanes * rest.itemsize
        mean_around(at, step, n, lanes, lanes, centre[whole:], count, network, by_network, tile, distances, out[whole:])
