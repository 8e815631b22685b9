"""Compiled passes over a block of columns of an ``[n, d]`` matrix, each in one thread without the interpreter lock.

Every function takes a numpy block [n, b] of float32 or float64 in any memory layout. It keeps no state and writes to
none of its arguments, so a pool of threads may call it on many blocks at once. Sums are float64. The order statistics
and the combinations give the same bits however the columns are cut into blocks.

Columns with a NaN or an infinity get arbitrary results, except in :func:`row_extent`: remove such rows first.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels import compiled_geometry as geometry
from robustfl.aggregation.kernels import compiled_gram as loops
from robustfl.aggregation.kernels import compiled_order as order
from robustfl.aggregation.kernels.compiled_vectors import BYTES, lanes
from robustfl.aggregation.kernels.host import WholeGram
from robustfl.aggregation.kernels.sorting_networks import Network, rank_network

Block = NDArray[Any]
Floats = NDArray[np.float64]

TILE_BYTES = 1 << 18
"""Size of a tile, a quarter of a second-level cache: a tile of one vector per row was 1.2 x slower."""

COMPARATOR_COST = 2.6
"""Time of one comparator in rounds of bisection over one row: measured 2.6 at n = 200 and 2.5 at n = 400 (AVX-512)."""

MOST_NETWORK_ROWS = 1024
"""No network is built for more rows. Bisection is faster from far fewer rows on for float32, from here for float64."""

GRAM_COLUMNS = 256
"""Columns that are centred at a time: 64 were 1.4 x slower, 512 1.3 x slower at n = 500."""

NO_EXTRAS = np.zeros((0, 0))

NO_NETWORK = rank_network(1, 0, 0)


def median(block: Block, *, exact: bool = False) -> Block:
    """The middle value of each column, or the average of the middle two for even n.

    It is in the dtype of the block, or in float64 if `exact`.
    ``y_j = (x_(floor((n+1)/2))j + x_(ceil((n+1)/2))j) / 2``, which never overflows.

    Shapes: [n, b] -> [b]. Raises ValueError for a block without rows, TypeError for other types of numbers.
    """
    block = _checked(block)
    n = len(block)
    network, by_network = _plan(block, (n - 1) // 2, n // 2, bisections=1)
    tile, out = _tile(block), _output(block, exact)
    order.medians(*_memory(block), _rest(block), network, by_network, tile, out)
    return out[: block.shape[1]]


def trimmed_mean(block: Block, f: int, *, exact: bool = False) -> Block:
    """The mean of each column without its `f` smallest and `f` largest values.

    It is in the dtype of the block, or in float64 if `exact`.
    ``y_j = (1/(n - 2f)) sum_{k=f+1}^{n-f} x_(k)j``, summed in float64; ``f=0`` is the mean.

    Shapes: [n, b] -> [b]. Raises ValueError unless 0 <= 2f < n.
    """
    block = _checked(block)
    n = len(block)
    if not 0 <= 2 * f < n:
        raise ValueError(f"`f` should satisfy 0 <= 2f < n. Found f={f}, n={n}. Trim fewer values or give more rows.")
    network, by_network = _plan(block, f, n - 1 - f, bisections=2) if f else (NO_NETWORK, True)
    tile, out = _tile(block), _output(block, exact)
    order.trimmed_means(*_memory(block), _rest(block), f, network, by_network, tile, out)
    return out[: block.shape[1]]


def mean_around(block: Block, centre: Block, count: int) -> Block:
    """The mean of the `count` values of each column nearest to ``centre[j]``, in the dtype of the block.

    Distances ``|x_ij - c_j|`` are those of float64, also of a float32 block; at equal distance the lower row comes
    first. For a float32 block they are rounded to float32 once they are known, which makes the search among them cheap.
    Rounding keeps their order, so only ties among rounded distances need a second look in float64.

    Shapes: [n, b], [b] -> [b]. Raises ValueError unless 1 <= count <= n and the centre has one value per column.
    """
    block, centre = _checked(block), np.asarray(centre)
    n, b = block.shape
    if not 1 <= count <= n:
        raise ValueError(f"`count` should satisfy 1 <= count <= n. Found count={count}, n={n}. Keep fewer values.")
    if centre.shape != (b,):
        raise ValueError(f"`centre` should have one value per column, [{b}]. Found shape {list(centre.shape)}.")
    if count == n:
        return trimmed_mean(block, 0)
    network, by_network = _plan(block, count - 1, count - 1, bisections=1)
    tile, out, around = _tile(block), _output(block), _output(block, exact=True)
    around[:b], around[b:] = centre, 0
    distances = aligned(max(n, 2) * lanes(block.dtype), block.dtype)
    order.means_around(*_memory(block), _rest(block), around, count, network, by_network, tile, distances, out)
    return out[:b]


def row_extent(block: Block) -> tuple[Floats, Floats]:
    """The largest magnitude and the sum of squares of each row, both [n] in float64.

    The magnitude of a row with a NaN is NaN; that of a row with an infinity, and no NaN, is infinite. Squares that
    overflow sum to infinity. Shapes: [n, b] -> [n], [n]; a row without columns has (0, 0).
    """
    block = _checked(block)
    peak, square = np.zeros(len(block)), np.zeros(len(block))
    geometry.row_extents(*_memory(block), _rest(block), peak, square)
    return peak, square


def centred_gram(block: Block, reference: Block, extras: Block | None = None) -> Floats:
    """The inner products of all points after subtracting `reference`, computed in float64.

    The points are the n rows of the block, then the origin (which becomes ``-reference``), then the e rows of `extras`.
    Equal points have bitwise equal products, so the squared distance ``g_ii - 2 g_ij + g_jj`` of duplicates is 0.

    Shapes: [n, b], [b], [e, b] -> [n + 1 + e, n + 1 + e], symmetric. Raises ValueError for other shapes.
    """
    block = _checked(block)
    n, b = block.shape
    reference, extras = np.asarray(reference), np.zeros((0, b)) if extras is None else np.asarray(extras)
    if reference.shape != (b,) or extras.shape != (len(extras), b):
        raise ValueError(
            f"The points should have as many columns as the block, {b}. "
            f"Found a reference of shape {list(reference.shape)} and extras of shape {list(extras.shape)}."
        )
    count = lanes(block.dtype)
    centre, others = np.zeros(b + count), np.zeros((1 + len(extras), b + count))
    centre[:b] = reference
    others[1:, :b] = extras
    others -= centre
    points = n + len(others)
    padded = -(-points // geometry.BESIDE) * geometry.BESIDE
    gram = np.zeros((padded, padded))
    tile = np.zeros((padded, min(GRAM_COLUMNS, -(-b // count) * count)))
    geometry.whole_gram(*_memory(block), _rest(block), centre, others, tile, gram)
    return gram[:points, :points]


def combine(weights: Floats, block: Block) -> Block:
    """``weights @ block``, summed in float64, in the dtype of the block.

    Rows with weight 0 are not read, so the choice of one row costs only the reading of that row. With several outputs,
    a row is skipped for each group of four consecutive outputs (0-3, 4-7, ...) in which it has no weight.

    Shapes: [n], [n, b] -> [b], or [m, n], [n, b] -> [m, b]. Raises ValueError for other shapes.
    """
    block, weights = _checked(block), np.asarray(weights, dtype=np.float64)
    n, b = block.shape
    if weights.ndim not in (1, 2) or weights.shape[-1] != n:
        raise ValueError(f"`weights` should have shape [{n}] or [m, {n}]. Found {list(weights.shape)}.")
    if weights.ndim == 2:
        return _combine_many(weights, block)
    out = _output(block)
    geometry.combination(*_memory(block), np.ascontiguousarray(weights), out)
    return out[:b]


def fits(block: Block, limit: float) -> bool:
    """Whether no value of the block is larger than `limit` in magnitude; NaN is larger than everything."""
    block = _checked(block)
    return bool(geometry.fits(*_memory(block), _like(block.dtype), limit))


def clean_combine(weights: Floats, block: Block, limit: float) -> Block | None:
    """:func:`combine` for one output, or None if a value of the block is larger than `limit` in magnitude, or NaN."""
    block = _checked(block)
    out = _output(block)
    clean = geometry.clean_combination(*_memory(block), limit, np.ascontiguousarray(weights), out)
    return out[: block.shape[1]] if clean else None


def clean_gram(
    block: Block, limit: float, extras: Block | None, alike: float, ratio: float, rounding: float
) -> WholeGram:
    """The :func:`row_extent` of the block, and its whole :func:`centred_gram` around the typical row.

    The typical row is that of median norm, or the origin if no majority of the rows is about equally long: within the
    ratio `alike` of squared norms. It is far if ``||r - x_i||^2`` may be more than `ratio` times the squared
    distance of a row x_i from most rows. See :func:`~robustfl.aggregation.kernels.compiled_gram.clean_gram`.
    """
    block = _checked(block)
    n = len(block)
    more = NO_EXTRAS if extras is None else np.ascontiguousarray(extras, dtype=np.float64)
    points = n + 1 + len(more)
    extent, centred, squared = np.zeros((2, n)), np.empty((points, points)), np.empty((n, n))
    work = limit, GRAM_COLUMNS, more, alike, ratio, rounding, extent, centred, squared
    found = loops.clean_gram(*(*_memory(block), _like(block.dtype), *work))
    return WholeGram((extent[0], extent[1]), found > 0, centred, squared, found > 1)


def clipped(block: Block, center: Block, iterations: int, radius: float) -> tuple[Block, Floats]:
    """The answer of centered clipping in the dtype of the block, and the weights [n + 1] of the rows and the center.

    See :class:`robustfl.defenses.CenteredClipping`. The radius is the median distance if it is not positive.
    """
    block = _checked(block)
    n, b = block.shape
    point, weights = np.zeros(b + lanes(block.dtype)), np.empty(n + 1)
    point[:b] = center
    loops.clipped_rows(*_memory(block), _like(block.dtype), iterations, radius, point, weights)
    return point[:b].astype(block.dtype), weights


def _combine_many(weights: Floats, block: Block) -> Block:
    m, n = weights.shape
    b, count, beside = block.shape[1], lanes(block.dtype), geometry.BESIDE
    groups = -(-m // beside)
    padded = np.zeros((groups, beside, n))
    padded.reshape(-1, n)[:m] = weights
    group, rows = np.nonzero(padded.any(axis=1))
    rows, entries = np.ascontiguousarray(rows), np.ascontiguousarray(padded[group, :, rows])
    starts = np.searchsorted(group, np.arange(groups + 1))
    pitch = -(-b // count) * count
    out = np.empty((groups * beside, pitch), block.dtype)
    used, tile = np.flatnonzero(padded.any(axis=(0, 1))), np.zeros(n * count)
    flat = out.reshape(-1)
    geometry.combinations(*_memory(block), _rest(block), used, rows, starts, entries, tile, pitch, flat)
    return out[:m, :b]


def _checked(block: Block) -> Block:
    """The block in a form that kernels read in place, copied only if neighbours in a row are not adjacent in memory."""
    if type(block) is np.ndarray and block.ndim == 2 and len(block):  # what small problems ask a million times
        dtype = block.dtype
        if dtype.char in "fd" and dtype.isnative and block.strides[1] == dtype.itemsize:
            return block
    block = np.asarray(block)
    if block.ndim != 2 or len(block) == 0:
        raise ValueError(f"A block should have shape [n, b] with n >= 1. Found {list(block.shape)}.")
    if block.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(f"A block should hold float32 or float64. Found {block.dtype}. Convert it with `astype`.")
    if not block.dtype.isnative:
        block = block.astype(block.dtype.newbyteorder("="))
    return block if block.strides[1] == block.itemsize else np.ascontiguousarray(block)


def _memory(block: Block) -> tuple[int, int, int, int, int]:
    """The address, bytes from row to row, rows, columns, and columns per vector. The caller keeps `block` alive."""
    n, columns = block.shape
    return block.__array_interface__["data"][0], block.strides[0], n, columns, BYTES // block.itemsize


@cache
def _like(dtype: np.dtype[Any]) -> Block:
    """A vector that tells kernels the type of a matrix."""
    return np.zeros(lanes(dtype), dtype)


def _rest(block: Block) -> Block:
    """Space for the last columns, which fill no vector, filled up with zeros: kernels only ever see whole vectors."""
    return np.zeros((len(block), lanes(block.dtype)), block.dtype)


def _plan(block: Block, first: int, last: int, bisections: int) -> tuple[Network, bool]:
    """The network that delivers the ranks first, ..., last, and whether it is faster than this number of bisections."""
    n = len(block)
    if n > MOST_NETWORK_ROWS:
        return NO_NETWORK, False
    network = rank_network(n, first, last)
    return network, COMPARATOR_COST * len(network) <= bisections * 8 * block.itemsize * n


def _tile(block: Block) -> Block:
    """Uninitialised space for as many vectors of columns as fit into a tile, but at least one."""
    (n, b), count = block.shape, lanes(block.dtype)
    wide = min(-(-b // count), max(1, TILE_BYTES // (n * count * block.itemsize)))
    return aligned(wide * n * count, block.dtype)


def _output(block: Block, exact: bool = False) -> Block:
    """Uninitialised space for one value per column, large enough for a last vector that is not full.

    Values are float64 if `exact`, else of the dtype of the block.
    """
    return np.empty(block.shape[1] + lanes(block.dtype), np.float64 if exact else block.dtype)


def aligned(size: int, dtype: np.dtype[Any]) -> Block:
    """Uninitialised space that starts at a cache line, because a register that spans two lines costs twice."""
    space = np.empty(size + 64 // dtype.itemsize, dtype)
    skip = -space.ctypes.data % 64 // dtype.itemsize
    return space[skip : skip + size]
