"""The inner loops of the compiled passes: vectors of columns of rows that lie anywhere in a matrix."""

from __future__ import annotations

from typing import Any

from robustfl.aggregation.kernels.compiled_order import band_sum, middle, run_network, share
from robustfl.aggregation.kernels.compiled_vectors import (
    LINE,
    add_product,
    address_of,
    fetch,
    fill,
    larger,
    load,
    magnitude,
    minus,
    most,
    narrow,
    rank_image,
    store,
    times,
    widen,
)
from robustfl.aggregation.kernels.compiling import kernel, quick_sums
from robustfl.aggregation.neighbourhoods.compiled_streams import announce, settled, stream


@kernel
def peaks(address: int, stride: int, columns: int, lanes: int, rows: Any, lane: Any, found: Any) -> None:
    """Raise ``found[r]`` to the largest magnitude in row ``rows[r]``; it becomes NaN, and stays it, if there is one.

    It is the first to read a block, so it fetches each row from memory while it looks at the one before.
    """
    for r in range(rows.size):
        at = address + rows[r] * stride
        ahead = (rows[min(r + 1, rows.size - 1)] - rows[r]) * stride
        largest = fill(rank_image(fetch(lane, at)), 0)
        for _ in range(0, columns, lanes):
            announce(at + ahead)
            largest = larger(largest, rank_image(magnitude(fetch(lane, at))))
            at += lanes * lane.itemsize
        value = most(largest)
        if not value <= found[r] and found[r] == found[r]:
            found[r] = value


@quick_sums
def added(values: Any) -> float:
    """The float64 sum of some numbers."""
    total = 0.0
    for q in range(values.size):
        total += values[q]
    return total


@kernel
def squares(
    address: int, stride: int, columns: int, lanes: int, origin: Any, starts: Any, pairs: Any, sums: Any, found: Any
) -> None:
    """Add the squared distances of pairs of rows to `found`, in sums of the type of the rows; row -1 is `origin`.

    The pairs from ``starts[s]`` to ``starts[s + 1]`` have their first row in common, and two of them are read at once.
    """
    for s in range(starts.size - 1):
        a = address + pairs[starts[s], 0] * stride
        for e in range(starts[s], starts[s + 1], 2):
            last = min(e + 1, starts[s + 1] - 1)
            b = address + pairs[e, 1] * stride if pairs[e, 1] >= 0 else address_of(origin)
            c = address + pairs[last, 1] * stride if pairs[last, 1] >= 0 else address_of(origin)
            total = fill(fetch(origin, a), 0.0)
            other = total
            for step in range(0, columns * origin.itemsize, lanes * origin.itemsize):
                x = fetch(origin, a + step)
                apart = minus(x, fetch(origin, b + step))
                total = add_product(total, apart, apart)
                apart = minus(x, fetch(origin, c + step))
                other = add_product(other, apart, apart)
            store(sums, 0, total)
            found[e] += added(sums)
            if last > e:
                store(sums, 0, other)
                found[last] += added(sums)


@kernel
def surveyed_squares(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    rows: Any,
    lane: Any,
    largest: Any,
    origin: Any,
    starts: Any,
    pairs: Any,
    sums: Any,
    found: Any,
) -> None:
    """:func:`peaks` of some rows and :func:`squares` of some pairs, by chunks of as many columns as `origin` has."""
    for first in range(0, columns, origin.size):
        here, wide = address + first * origin.itemsize, min(origin.size, columns - first)
        peaks(here, stride, wide, lanes, rows, lane, largest)
        squares(here, stride, wide, lanes, origin, starts, pairs, sums, found)


@kernel
def wide_squares(
    address: int, stride: int, columns: int, lanes: int, origin: Any, pairs: Any, sums: Any, found: Any
) -> None:
    """As :func:`squares`, with differences and sums in float64."""
    for e in range(pairs.shape[0]):
        a = address + pairs[e, 0] * stride
        b = address + pairs[e, 1] * stride if pairs[e, 1] >= 0 else address_of(origin)
        total = fill(widen(fetch(origin, a)), 0.0)
        for step in range(0, columns * origin.itemsize, lanes * origin.itemsize):
            apart = minus(widen(fetch(origin, a + step)), widen(fetch(origin, b + step)))
            total = add_product(total, apart, apart)
        store(sums, 0, total)
        found[e] += added(sums)


@kernel
def starts_line(out: Any, place: int) -> Any:
    """Whether an element of `out` is the first one in its line of the cache: only from there results can go past it."""
    return (address_of(out) + place * out.itemsize) % LINE == 0


@kernel
def put(out: Any, at: int, value: Any, past: bool) -> None:
    """Write a vector of results to `out`, `past` the caches where :func:`starts_line` allows it."""
    if past:
        stream(out, at, value)
    else:
        store(out, at, value)


@kernel
def sums(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    starts: Any,
    rows: Any,
    weights: Any,
    scales: Any,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """Weighted sums of rows around the first row of each line; line i goes to element ``lines[i] * pitch + first``.

    Lines go `past` the caches where they start at a line of the cache.
    """
    for i in range(lines.size):
        base = address + rows[starts[i]] * stride
        place = lines[i] * pitch + first
        streams = past and starts_line(out, place)
        for c in range(0, columns, lanes):
            step = c * out.itemsize
            centre = fetch(out, base + step)
            total = times(fill(centre, scales[i]), centre)
            for e in range(starts[i] + 1, starts[i + 1]):
                x = fetch(out, address + rows[e] * stride + step)
                total = add_product(total, fill(centre, weights[e]), minus(x, centre))
            put(out, place + c, total, streams)
    if past:
        settled()


@kernel
def surveyed_sums(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    width: int,
    suspects: Any,
    lane: Any,
    largest: Any,
    starts: Any,
    rows: Any,
    weights: Any,
    scales: Any,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """:func:`peaks` of some rows and :func:`sums`, by chunks of `width` columns."""
    for c in range(0, columns, width):
        here, wide = address + c * out.itemsize, min(width, columns - c)
        peaks(here, stride, wide, lanes, suspects, lane, largest)
        sums(here, stride, wide, lanes, starts, rows, weights, scales, out, pitch, first + c, lines, past)


@kernel
def ranks(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    index: Any,
    maps: Any,
    count: int,
    low: int,
    high: int,
    halfway: bool,
    network: Any,
    tile: Any,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """The middle of the ranks `low` and `high` in each column of a neighbourhood if `halfway`, else the mean of all.

    The values are those of the rows ``index[i]``, or the `count` sums of them with the weights ``maps[i]``.
    Results go `past` the caches as those of :func:`sums` do.
    """
    for i in range(lines.size):
        place = lines[i] * pitch + first
        streams = past and starts_line(out, place)
        for c in range(0, columns, lanes):
            step = c * tile.itemsize
            for j in range(count):
                if maps.size == 0:
                    store(tile, j * lanes, fetch(tile, address + index[i, j] * stride + step))
                else:
                    total = fill(widen(fetch(tile, address + step)), 0.0)
                    for k in range(index.shape[1]):
                        if maps[i, j, k] != 0.0:
                            x = widen(fetch(tile, address + index[i, k] * stride + step))
                            total = add_product(total, fill(total, maps[i, j, k]), x)
                    store(tile, j * lanes, narrow(total, tile))
            run_network(tile, 0, lanes, network)
            if halfway:
                value = middle(load(tile, low * lanes), load(tile, high * lanes))
            else:
                value = share(band_sum(tile, 0, lanes, low, high + 1), high + 1 - low, out)
            put(out, place + c, narrow(value, out), streams)
    if past:
        settled()
