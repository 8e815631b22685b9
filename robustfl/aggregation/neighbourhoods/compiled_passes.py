"""The passes over the letters in compiled kernels, one block of columns at a time, without the interpreter lock."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.kernels.compiling import quick_sums
from robustfl.aggregation.neighbourhoods.host_passes import ONE, peaks

__all__ = ["combine", "peaks", "squared_distances"]


def squared_distances(block: Array, pairs: Any, wide: bool) -> Floats:
    """``||x_p - x_q||^2`` [e] for pairs [e, 2] of rows; a row with the number -1 is the origin.

    The sum over the columns of a float32 block is float32, unless it has to be `wide`.
    """
    found = np.empty(len(pairs))
    (_wide_squares if wide else _squares)(block, pairs, found)
    return found


def combine(block: Array, starts: Any, rows: Any, weights: Floats, out: Array) -> None:
    """Line i of `out` becomes the sum of ``weights[e]`` times row ``rows[e]`` over ``starts[i] <= e < starts[i + 1]``.

    The sum is taken around the first row of the line, so rows that are all equal give exactly that row.
    """
    _sums(block, starts, rows, weights.astype(block.dtype), _scales(starts, weights).astype(block.dtype), out)


def _scales(starts: Any, weights: Floats) -> Floats:
    totals = np.add.reduceat(weights, starts[:-1])
    return np.where(np.abs(totals - 1.0) <= ONE, 1.0, totals)


@quick_sums
def _squares(block: Any, pairs: Any, out: Any) -> None:
    for e in range(pairs.shape[0]):
        p, q = pairs[e, 0], pairs[e, 1]
        total = block[p, 0] - block[p, 0]
        if q < 0:
            for c in range(block.shape[1]):
                total += block[p, c] * block[p, c]
        else:
            for c in range(block.shape[1]):
                x = block[p, c] - block[q, c]
                total += x * x
        out[e] = total


@quick_sums
def _wide_squares(block: Any, pairs: Any, out: Any) -> None:
    for e in range(pairs.shape[0]):
        p, q = pairs[e, 0], pairs[e, 1]
        total = 0.0
        for c in range(block.shape[1]):
            x = np.float64(block[p, c])
            if q >= 0:
                x -= np.float64(block[q, c])
            total += x * x
        out[e] = total


@quick_sums
def _sums(block: Any, starts: Any, rows: Any, weights: Any, scales: Any, out: Any) -> None:
    for line in range(starts.size - 1):
        first = rows[starts[line]]
        for c in range(block.shape[1]):
            out[line, c] = scales[line] * block[first, c]
        for e in range(starts[line] + 1, starts[line + 1]):
            row, weight = rows[e], weights[e]
            for c in range(block.shape[1]):
                out[line, c] += weight * (block[row, c] - block[first, c])
