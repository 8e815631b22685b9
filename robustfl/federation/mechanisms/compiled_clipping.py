"""Clipping of rows in one call, for processors: a round has few and short messages, and each call of torch counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiling import quick_sums


@quick_sums
def measured(rows: Any, norms: Any) -> float:
    """Fill in the L2 norms [n] of rows [n, d], in float64; the longest of them, and NaN if one is not finite."""
    longest, finite = 0.0, True
    for i in range(rows.shape[0]):
        squares = 0.0
        for c in range(rows.shape[1]):
            value = np.float64(rows[i, c])
            squares += value * value
        norms[i] = np.sqrt(squares)
        finite = finite and bool(np.isfinite(norms[i]))
        longest = max(longest, norms[i])
    return longest if finite else np.nan


@quick_sums
def shortened(rows: Any, norms: Any, limit: float, length: float, out: Any) -> None:
    """Write rows [n, d] to `out`, scaled to `length` if they are longer than `limit`, and 0 if they are not finite."""
    for i in range(rows.shape[0]):
        if not np.isfinite(norms[i]):
            out[i] = 0
        elif norms[i] <= limit:
            out[i] = rows[i]
        else:
            factor = out.dtype.type(length / norms[i])
            for c in range(rows.shape[1]):
                out[i, c] = rows[i, c] * factor
