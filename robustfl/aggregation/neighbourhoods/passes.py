"""Every pass over the letters: cut into blocks of columns, in compiled kernels where numba can be used.

Columns are summed over in the same blocks however many letters there are, and blocks are added in the order of the
columns. So no result depends on the number of threads, nor on who else takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, Kernels, column_blocks
from robustfl.aggregation.kernels.choice import COMPILE_FROM, kernels_for
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.kernels.threads import in_order
from robustfl.aggregation.neighbourhoods import host_passes

Lines = NDArray[np.int64]
Index = NDArray[np.int32]

Write = Callable[[Array, Lines, int, Array], None]
"""(block [N, b], the lines of the target, its first column there, the target) -> what is made of the block, there"""

BLOCK_NUMBERS = 1 << 18
"""About so many numbers of the letters are in a block of columns: they stay in a second-level cache."""

FEWEST, MOST = 256, 4096
"""The least and the largest number of columns of a block."""

SUMMED = 4096
"""The number of columns of a block whose columns are summed over, for any number of letters."""

NARROW = 1e-12, 1e15
"""Squares of float32 numbers of such a size neither vanish nor overflow when a block of them is summed in float32."""


class Passes:
    """The passes over one matrix of letters [N, d].

    `kernels` are the operations that rules may use on a block of one neighbourhood.
    """

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.kernels: Kernels = kernels_for(None, COMPILE_FROM)  # whatever the size: one peer gets what all get
        self.passes: Any = host_passes
        if type(self.kernels) is not Host:
            from robustfl.aggregation.neighbourhoods import compiled_passes

            self.passes = compiled_passes

    @property
    def width(self) -> int:
        """The number of columns of a block."""
        wanted = BLOCK_NUMBERS // max(len(self.rows), 1)
        return int(np.clip(1 << max(wanted.bit_length() - 1, 0), FEWEST, MOST))

    def _blocks(self, work: Callable[[Array, slice], Any], width: int) -> list[Any]:
        cut = column_blocks(self.rows.shape[1], width)
        return list(in_order(partial(work, self.rows[:, columns], columns) for columns in cut))

    def peaks(self, rows: Lines) -> Floats:
        """The largest magnitude of each of these rows, [r]; NaN for a row that holds one."""
        found = self._blocks(lambda block, columns: self.passes.peaks(block, rows), self.width)
        return np.asarray(np.maximum.reduce(found))

    def squared_distances(self, pairs: Index, peak: float) -> Floats:
        """``||x_p - x_q||^2`` [e] for pairs [e, 2]; -1 in the place of q is the origin. `peak` bounds all numbers."""
        wide = not NARROW[0] <= peak <= NARROW[1]
        total = np.zeros(len(pairs))
        for part in self._blocks(lambda block, columns: self.passes.squared_distances(block, pairs, wide), SUMMED):
            total += part
        return total

    def combining(self, index: Index, weights: Floats) -> Write:
        """Makes ``sum_j weights_ij x_(index_ij)`` for the lines i of index and weights [g, m].

        The heaviest letter of a line is summed around, and letters without weight are not read.
        """
        order = np.argsort(-np.abs(weights), axis=1, kind="stable")
        ordered = np.take_along_axis(weights, order, axis=1)
        used = ordered != 0.0
        used[:, 0] = True
        starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        rows = np.take_along_axis(index, order, axis=1)[used].astype(np.int64)
        shares = ordered[used]
        return lambda block, *target: self.passes.combine(block, starts, rows, shares, *target)

    def medians(self, index: Index, maps: Floats | None) -> Write:
        """Makes the medians by columns of the letters ``index[i]`` [m], or of the m' sums ``maps[i] @ x`` [m', m]."""
        return lambda block, *target: self.passes.medians(block, index, maps, *target)

    def trimmed_means(self, index: Index, maps: Floats | None, f: int) -> Write:
        """As :meth:`medians`, the means without the f smallest and the f largest values of each column; 2f < m'."""
        return lambda block, *target: self.passes.trimmed_means(block, index, maps, f, *target)

    def one_by_one(self, index: Index, maps: Floats | None, work: Callable[[Array, Kernels], Array]) -> Write:
        """Makes ``work(block [m, b], kernels)`` [b] of the letters ``index[i]``, or of ``maps[i] @ x``, one by one."""

        def write(block: Array, lines: Lines, first: int, out: Array) -> None:
            for place, line in enumerate(lines.tolist()):
                values = block[index[place]]
                if maps is not None:
                    values = self.kernels.combine(maps[place], values)
                out[line, first : first + block.shape[1]] = work(values, self.kernels)

        return write

    def write(self, jobs: Sequence[tuple[Lines, Write]], out: Array, width: int | None = None) -> None:
        """Let each job write what it makes of every block to its lines of `out`, which may be the letters themselves.

        Blocks are `width` columns wide, or as wide as fits a cache.
        """
        beside = out is not self.rows and out.flags.c_contiguous

        def part(block: Array, columns: slice) -> None:
            if beside:
                for lines, work in jobs:
                    work(block, lines, columns.start, out)
                return
            made = [np.empty((len(lines), block.shape[1]), block.dtype) for lines, _ in jobs]
            for (lines, work), values in zip(jobs, made, strict=True):
                work(block, np.arange(len(lines)), 0, values)
            for (lines, _), values in zip(jobs, made, strict=True):  # only now: the block may be what was read
                out[lines, columns] = values

        self._blocks(part, width or self.width)
