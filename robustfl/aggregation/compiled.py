"""Compiled passes over a block of columns of an ``[n, d]`` matrix: one thread each, without the interpreter lock.

Every function takes a numpy block [n, b] of float32 or float64 in any memory layout, keeps no state and writes to
nothing it was given, so a pool of threads may call them on many blocks at once. Sums are float64. The order statistics
and the combinations give the same bits however the columns are cut into blocks.

Columns with a NaN or an infinity get arbitrary results, everywhere but in :func:`row_extent`: remove such rows first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import compiled_geometry as geometry
from robustfl.aggregation import compiled_order as order
from robustfl.aggregation.compiled_vectors import lanes
from robustfl.aggregation.networks import Network, rank_network

Block = NDArray[Any]
Floats = NDArray[np.float64]

TILE_BYTES = 1 << 18
"""Size of a tile, a quarter of a second-level cache: 1/8 of it was 1.3 x slower at n = 100, 4 times as much the same."""

COMPARATOR_COST = 2.6
"""Time of one comparator in rounds of bisection over one row: measured 2.6 at n = 200 and 2.5 at n = 400 (AVX-512)."""

MOST_NETWORK_ROWS = 1024
"""No network is built for more rows than this: bisection wins long before for float32, about here for float64."""

GRAM_COLUMNS = 256
"""Columns that are centred at a time: 64 were 1.4 x slower, 512 1.3 x slower at n = 500."""

NO_NETWORK = rank_network(1, 0, 0)


def median(block: Block) -> Block:
    """Middle value of each column, in the dtype of the block; the average of the middle two for even n.

    ``y_j = (x_(floor((n+1)/2))j + x_(ceil((n+1)/2))j) / 2``, which never overflows.

    Shapes: [n, b] -> [b]. Raises ValueError for a block without rows, TypeError for other types of numbers.
    """
    block = _checked(block)
    n = len(block)
    network, by_network = _plan(block, (n - 1) // 2, n // 2, bisections=1)
    tile, out = _tile(block), _output(block)
    for first, part in _parts(block):
        order.median(*_memory(part), network, by_network, tile, out[first:])
    return out[: block.shape[1]]


def trimmed_mean(block: Block, f: int) -> Block:
    """Mean of each column without its `f` smallest and `f` largest values, in the dtype of the block.

    ``y_j = (1/(n - 2f)) sum_{k=f+1}^{n-f} x_(k)j``, summed in float64; ``f=0`` is the mean.

    Shapes: [n, b] -> [b]. Raises ValueError unless 0 <= 2f < n.
    """
    block = _checked(block)
    n = len(block)
    if not 0 <= 2 * f < n:
        raise ValueError(f"`f` should satisfy 0 <= 2f < n. Found f={f}, n={n}. Trim fewer values or give more rows.")
    network, by_network = _plan(block, f, n - 1 - f, bisections=2) if f else (NO_NETWORK, True)
    tile, out = _tile(block), _output(block)
    for first, part in _parts(block):
        order.trimmed_mean(*_memory(part), f, network, by_network, tile, out[first:])
    return out[: block.shape[1]]


def mean_around(block: Block, centre: Block, count: int) -> Block:
    """Mean of the `count` values of each column nearest to ``centre[j]``, in the dtype of the block.

    Nearness is ``|x_ij - c_j|`` computed in float64; at equal distance the lower row comes first. For a float32 block
    with a float32 centre, float32 distances lead to the same choice: rounding the float64 distance gives them
    (double rounding is harmless for one subtraction), so only ties among them are looked at again in float64.

    Shapes: [n, b], [b] -> [b]. Raises ValueError unless 1 <= count <= n and the centre has a value per column.
    """
    block, centre = _checked(block), np.asarray(centre)
    n, b = block.shape
    if not 1 <= count <= n:
        raise ValueError(f"`count` should satisfy 1 <= count <= n. Found count={count}, n={n}. Keep fewer values.")
    if centre.shape != (b,):
        raise ValueError(f"`centre` should have one value per column, [{b}]. Found shape {list(centre.shape)}.")
    if np.result_type(centre, block) != block.dtype:
        return mean_around(block.astype(np.float64), centre, count).astype(block.dtype)
    network, by_network = _plan(block, count - 1, count - 1, bisections=1) if count < n else (NO_NETWORK, True)
    tile, out, around = _tile(block), _output(block), _output(block)
    around[:b], around[b:] = centre, 0
    distances = _aligned(n * lanes(block.dtype), block.dtype)
    for first, part in _parts(block):
        order.mean_around(
            *_memory(part), around[first:], count, network, by_network, tile, distances, out[first:]
        )
    return out[:b]


def row_extent(block: Block) -> tuple[Floats, Floats]:
    """Largest magnitude and sum of squares of each row, both [n] in float64.

    A row with a NaN has a NaN magnitude, else a row with an infinity an infinite one. Squares that overflow sum to
    infinity. Shapes: [n, b] -> [n], [n]; a row without columns has (0, 0).
    """
    block = _checked(block)
    count = lanes(block.dtype)
    peak, square = np.zeros(len(block)), np.zeros(len(block))
    like, wide = np.empty(count, block.dtype), np.empty(count)
    for _, part in _parts(block):
        geometry.row_extent(*_memory(part), like, wide, peak, square)
    return peak, square


def centred_gram(block: Block, reference: Block, extras: Block | None = None) -> Floats:
    """Inner products of all points after subtracting `reference`, in float64 throughout.

    The points are the n rows of the block, then the origin (``-reference`` when centred), then the e rows of `extras`.
    Equal points have bitwise equal products, so the squared distance ``g_ii - 2 g_ij + g_jj`` of duplicates is 0.

    Shapes: [n, b], [b], [e, b] -> [n + 1 + e, n + 1 + e], symmetric. Raises ValueError for other shapes.
    """
    block = _checked(block)
    n, b = block.shape
    others = np.zeros((1, b)) if extras is None else np.concatenate([np.zeros((1, b)), extras])
    centre = np.zeros(b + lanes(block.dtype))
    centre[:b] = reference
    points = n + len(others)
    padded = -(-points // 4) * 4
    gram = np.zeros((padded, padded))
    tile = _aligned(padded * GRAM_COLUMNS, np.dtype(np.float64)).reshape(padded, GRAM_COLUMNS)
    others -= reference
    for first, part in _parts(block):
        for start in range(0, part.shape[1], GRAM_COLUMNS):
            pass
    whole = np.triu(gram) + np.triu(gram, 1).T
    return whole[:points, :points]
