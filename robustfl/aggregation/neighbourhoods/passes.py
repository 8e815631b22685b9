"""Every pass over the letters: cut into blocks of columns, in compiled kernels where numba can be used.

The cut depends on the number of letters alone, and sums over blocks are added in the order of the columns, so no result
depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, Kernels, column_blocks
from robustfl.aggregation.kernels.choice import kernels_for
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.kernels.threads import in_order
from robustfl.aggregation.neighbourhoods import host_passes

BLOCK_NUMBERS = 1 << 18
"""About so many numbers of the letters are in a block of columns: they stay in a second-level cache."""

FEWEST, MOST = 256, 4096
"""The least and the largest number of columns of a block."""

NARROW = 1e-12, 1e15
"""Squares of float32 numbers of such a size neither vanish nor overflow when a block of them is summed in float32."""


class Passes:
    """The passes over one matrix of letters [N, d].

    `kernels` are the operations that rules may use on a block of one neighbourhood.
    """

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.kernels: Kernels = kernels_for(None, rows.size)
        self.passes: Any = host_passes
        if type(self.kernels) is not Host:
            from robustfl.aggregation.neighbourhoods import compiled_passes

            self.passes = compiled_passes

    @property
    def width(self) -> int:
        """The number of columns of a block."""
        wanted = BLOCK_NUMBERS // max(len(self.rows), 1)
        return int(np.clip(1 << max(wanted.bit_length() - 1, 0), FEWEST, MOST))

    def _blocks(self, work: Callable[[Array, slice], Any]) -> list[Any]:
        cut = column_blocks(self.rows.shape[1], self.width)
        return list(in_order(partial(work, self.rows[:, columns], columns) for columns in cut))

    def peaks(self, rows: NDArray[np.int64]) -> Floats:
        """The largest magnitude of each of these rows, [r]; NaN for a row that holds one."""
        found = self._blocks(lambda block, columns: self.passes.peaks(block, rows))
        return np.asarray(np.maximum.reduce(found))

    def squared_distances(self, pairs: NDArray[np.int32], peak: float) -> Floats:
        """``||x_p - x_q||^2`` [e] for pairs [e, 2]; -1 in the place of q is the origin. `peak` bounds all numbers."""
        wide = not NARROW[0] <= peak <= NARROW[1]
        total = np.zeros(len(pairs))
        for part in self._blocks(lambda block, columns: self.passes.squared_distances(block, pairs, wide)):
            total += part
        return total

    def combine(self, lines: NDArray[np.int64], index: NDArray[np.int32], weights: Floats, out: Array) -> None:
        """Row ``lines[i]`` of `out` [n, d] becomes ``sum_j weights_ij x_(index_ij)``; `out` may be the letters.

        The heaviest letter of a line is summed around, and letters without weight are not read.
        """
        order = np.argsort(-np.abs(weights), axis=1, kind="stable")
        sorted_weights = np.take_along_axis(weights, order, axis=1)
        used = sorted_weights != 0.0
        used[:, 0] = True
        starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        rows = np.take_along_axis(index, order, axis=1)[used].astype(np.int64)
        flat = sorted_weights[used]

        def part(block: Array, columns: slice) -> None:
            made = np.empty((len(lines), block.shape[1]), block.dtype)
            self.passes.combine(block, starts, rows, flat, made)
            out[lines, columns] = made

        self._blocks(part)
