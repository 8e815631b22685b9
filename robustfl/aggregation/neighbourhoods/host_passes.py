"""The passes over the letters in plain numpy, one block of columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats


def peaks(block: Array, rows: Any) -> Floats:
    """The largest magnitude [r] of each of the rows; that of a row with NaN is NaN."""
    part = block[rows]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(part.max(axis=1), -part.min(axis=1)), np.float64)


def squared_distances(block: Array, pairs: Any, wide: bool) -> Floats:
    """``||x_p - x_q||^2`` [e] for pairs [e, 2] of rows; a row with the number -1 is the origin."""
    found = np.empty(len(pairs))
    values = block.astype(np.float64)
    for place, (p, q) in enumerate(pairs.tolist()):
        difference = values[p] if q < 0 else values[p] - values[q]
        found[place] = difference @ difference
    return found


def combine(block: Array, starts: Any, rows: Any, weights: Floats, out: Array) -> None:
    """Line i of `out` becomes the sum of ``weights[e]`` times row ``rows[e]`` over ``starts[i] <= e < starts[i + 1]``.

    The sum is taken around the first row of the line, so rows that are all equal give exactly that row.
    """
    for line in range(len(starts) - 1):
        span = slice(starts[line], starts[line + 1])
        values = block[rows[span]].astype(np.float64)
        base = values[0]
        total = weights[span].sum()
        scale = 1.0 if abs(total - 1.0) <= ONE else total
        out[line] = scale * base + weights[span][1:] @ (values[1:] - base)


ONE = 1e-9
"""Weights whose sum misses 1 by less than this sum to 1."""
