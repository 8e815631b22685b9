"""The inner loops of the compiled passes: vectors of columns of rows that lie anywhere in a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_order import band_sum, middle, run_network, share
from robustfl.aggregation.kernels.compiled_vectors import (
    add_product,
    address_of,
    fetch,
    fill,
    larger,
    load,
    load_beside,
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
from robustfl.aggregation.neighbourhoods.compiled_streams import (
    STRIP,
    announce,
    folded,
    pair,
    put,
    settled,
    starts_line,
    strip,
    take,
    vector_size,
)

NEXT = np.uint64(1)
"""A step of what counts in uint64, where indices need no look at whether they are negative."""

AHEAD = 4
"""The number of strips between what is asked for and what is summed: 8 was 1.1 x slower, and 1 was 1.7 x."""


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
            row = fetch(lane, at)
            announce(at + ahead, row)
            largest = larger(largest, rank_image(magnitude(row)))
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
def gather(address: int, stride: int, rows: Any, steps: int, pieces: int, zero: Any, tile: Any, images: Any) -> None:
    """Copy some rows into a tile, each of them in `steps` times `pieces` vectors like `zero`: piece after piece.

    So the same piece of all steps lies together. The :func:`rank_image` of the largest magnitudes of each row, of 16
    bytes, is raised in `images`.
    """
    wide = vector_size(zero)
    for r in range(rows.size):
        at = address + rows[r] * stride
        ahead = (rows[min(r + 1, rows.size - 1)] - rows[r]) * stride
        image = load_beside(images, r * 16 // tile.itemsize, folded(rank_image(zero)))
        for s in range(steps):
            for p in range(pieces):
                row = take(zero, at)
                announce(at + ahead, zero)
                store(tile, ((r * pieces + p) * steps + s) * wide, row)
                image = larger(image, folded(rank_image(magnitude(row))))
                at += wide * tile.itemsize
        store(images, r * 16 // tile.itemsize, image)


@kernel
def gather_strips(address: int, stride: int, rows: Any, zero: Any, tile: Any, images: Any) -> None:
    """:func:`gather` for a single vector of each row, which was announced before."""
    wide, few = vector_size(zero), 16 // tile.itemsize
    for r in range(rows.size):
        row = take(zero, address + rows[r] * stride)
        store(tile, r * wide, row)
        image = folded(rank_image(magnitude(row)))
        store(images, r * few, larger(image, load_beside(images, r * few, image)))


@kernel
def squares(
    address: int,
    stride: int,
    steps: int,
    hop: int,
    leap: int,
    lanes: int,
    origin: Any,
    starts: Any,
    pairs: Any,
    lane: Any,
    found: Any,
) -> None:
    """Add the squared distances of pairs of rows to `found`, in sums of the type of the rows; row -1 is `origin`.

    The pairs from ``starts[s]`` to ``starts[s + 1]`` have their first row in common, and four of them are read at once.
    Rows consist of `steps` vectors. A piece of a vector, two registers wide, is `hop` bytes before the same piece of
    the next one, and `leap` bytes before the next piece.
    """
    zero = pair(origin)
    wide = vector_size(zero)
    for s in range(starts.size - 1):
        a = address + pairs[starts[s], 0] * stride
        for e in range(starts[s], starts[s + 1], 4):
            last = starts[s + 1] - 1
            b = place_of(address, stride, pairs[e, 1], origin)
            c = place_of(address, stride, pairs[min(e + 1, last), 1], origin)
            d = place_of(address, stride, pairs[min(e + 2, last), 1], origin)
            f = place_of(address, stride, pairs[min(e + 3, last), 1], origin)
            for piece in range(lanes // wide):
                first, second, third, fourth = zero, zero, zero, zero
                for at in range(piece * leap, piece * leap + steps * hop, hop):
                    x = take(zero, a + at)
                    apart = minus(x, take(zero, b + at))
                    first = add_product(first, apart, apart)
                    apart = minus(x, take(zero, c + at))
                    second = add_product(second, apart, apart)
                    apart = minus(x, take(zero, d + at))
                    third = add_product(third, apart, apart)
                    apart = minus(x, take(zero, f + at))
                    fourth = add_product(fourth, apart, apart)
                store(lane, piece * wide, first)
                store(lane, lanes + piece * wide, second)
                store(lane, 2 * lanes + piece * wide, third)
                store(lane, 3 * lanes + piece * wide, fourth)
            for k in range(min(4, last + 1 - e)):
                found[e + k] += added(lane[k * lanes : (k + 1) * lanes])


@kernel
def place_of(address: int, stride: int, row: int, origin: Any) -> int:
    """Where a row begins; row -1 is `origin`."""
    return address + row * stride if row >= 0 else address_of(origin)


@kernel
def tiled_squares(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    rows: Any,
    images: Any,
    tile: Any,
    origin: Any,
    starts: Any,
    pairs: Any,
    lane: Any,
    found: Any,
) -> None:
    """:func:`squares` of pairs of the `rows`, by chunks of as many columns as `origin` has, each in a tile.

    In a tile, no row is in the way of another one in a cache, whatever the length of rows, and a row is read from
    memory once.
    """
    zero = pair(origin)
    wide = vector_size(zero)
    for first in range(0, columns, origin.size):
        steps = min(origin.size, columns - first) // lanes
        gather(address + first * origin.itemsize, stride, rows, steps, lanes // wide, zero, tile, images)
        hop = wide * origin.itemsize
        row = steps * lanes * origin.itemsize
        squares(address_of(tile), row, steps, hop, steps * hop, lanes, origin, starts, pairs, lane, found)


@kernel
def surveyed_squares(
    address: int,
    stride: int,
    columns: int,
    lanes: int,
    rows: Any,
    largest: Any,
    origin: Any,
    starts: Any,
    pairs: Any,
    lane: Any,
    found: Any,
) -> None:
    """:func:`peaks` of some rows and :func:`squares` of some pairs, by chunks of as many columns as `origin` has."""
    leap = vector_size(pair(origin)) * origin.itemsize
    for first in range(0, columns, origin.size):
        here, wide = address + first * origin.itemsize, min(origin.size, columns - first)
        peaks(here, stride, wide, lanes, rows, lane, largest)
        hop = lanes * origin.itemsize
        squares(here, stride, wide // lanes, hop, leap, lanes, origin, starts, pairs, lane, found)


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
def line_sum(zero: Any, address: int, stride: int, i: int, starts: Any, rows: Any, weights: Any, scales: Any) -> Any:
    """The weighted sum of the rows of line i around the first of them, of the numbers at `address`, like `zero`."""
    begin, end = starts[i], starts[i + 1]
    centre = take(zero, address + rows[begin] * stride)
    total = times(fill(zero, scales[i]), centre)
    for e in range(begin + NEXT, end):
        x = take(zero, address + rows[e] * stride)
        total = add_product(total, fill(zero, weights[e]), minus(x, centre))
    return total


@kernel
def tiled_sums(
    address: int,
    stride: int,
    columns: int,
    used: Any,
    images: Any,
    tile: Any,
    starts: Any,
    rows: Any,
    weights: Any,
    scales: Any,
    turns: Any,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """The :func:`line_sum` of all lines, a strip of the rows `used` at a time, each of which is read from memory once.

    Line i goes to element ``lines[i] * pitch + first``, `past` the caches where it starts at a line of the cache.
    While a strip is summed, one further on is fetched from memory: before line i, it is that of the rows ``used[t]``
    for t from ``turns[i]`` to ``turns[i + 1]``.
    """
    zero, base = strip(out), address_of(tile)
    for c in range(0, columns, vector_size(zero)):
        here = address + c * out.itemsize
        gather_strips(here, stride, used, zero, tile, images)
        for i in range(lines.size):
            for t in range(turns[i], turns[i + 1]):
                announce(here + AHEAD * STRIP + used[t] * stride, zero)
            total = line_sum(zero, base, STRIP, i, starts, rows, weights, scales)
            place = lines[i] * pitch + first
            put(out, place + c, total, past and starts_line(out, place))
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
    """:func:`peaks` of some rows, and the :func:`line_sum` of all lines with no tile, by chunks of `width` columns."""
    zero = strip(out)
    for c in range(0, columns, width):
        wide = min(width, columns - c)
        peaks(address + c * out.itemsize, stride, wide, lanes, suspects, lane, largest)
        for i in range(lines.size):
            place = lines[i] * pitch + first
            streams = past and starts_line(out, place)
            for q in range(c, c + wide, vector_size(zero)):
                total = line_sum(zero, address + q * out.itemsize, stride, i, starts, rows, weights, scales)
                put(out, place + q, total, streams)
    if past:
        settled()


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
