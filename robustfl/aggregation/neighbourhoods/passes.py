"""Every pass over the letters: cut into blocks of columns, in compiled kernels where numba can be used.

Columns are summed over in the same blocks however many letters there are, and blocks are added in the order of the
columns. So no result depends on the number of threads, nor on who else takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, Kernels, column_blocks
from robustfl.aggregation.kernels.choice import COMPILE_FROM, kernels_for
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.kernels.threads import in_order, thread_count
from robustfl.aggregation.neighbourhoods import host_passes
from robustfl.aggregation.updates.source import HostileRows

T = TypeVar("T")
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

COMBINED = 8192
"""The number of columns of a block that one call of a kernel combines: several threads have enough to do."""

ALONE = 1 << 16
"""The number of columns of such a block for one thread: calls then cost nothing beside the sums."""

NARROW = 1e-12, 1e15
"""Squares of float32 numbers of such a size neither vanish nor overflow when a block of them is summed in float32."""


class Passes:
    """The passes over one matrix of letters [N, d].

    The first pass, whatever its purpose, also looks for hostile rows among the `suspects`: numbers that are not finite,
    or larger than `limit`. If it finds some, it ends with :class:`HostileRows`, and no work has seen them.

    Attributes
    ----------
    rows : the letters, which nobody can change through it; by default all of them are suspects
    kernels : the operations that rules may use on a block of one neighbourhood
    """

    def __init__(self, rows: Array, suspects: Lines | None = None, limit: float = np.inf) -> None:
        self.rows = rows.view()
        self.rows.flags.writeable = False
        self._given = rows
        self.kernels: Kernels = kernels_for(None, COMPILE_FROM)  # whatever the size: one peer gets what all get
        self.passes: Any = host_passes
        if type(self.kernels) is not Host:
            from robustfl.aggregation.neighbourhoods import compiled_passes

            self.passes = compiled_passes
        self._suspects = np.arange(len(rows)) if suspects is None else suspects
        self._limit = limit
        self._known = len(self._suspects) == 0
        self._peaks = np.zeros(len(rows))

    def like(self, rows: Array, suspects: Lines | None = None) -> Passes:
        """The passes over other rows of the same columns."""
        return Passes(rows, suspects)

    def largest(self, peaks: Floats) -> Floats:
        """The largest magnitudes [N] in whole letters, of those in the columns that are here."""
        return peaks

    def added(self, parts: Sequence[Floats], count: int) -> Floats:
        """The sum [count] over whole letters of sums over blocks of the columns that are here, in their order."""
        total = np.zeros(count)
        for part in parts:
            total += part
        return total

    @property
    def width(self) -> int:
        """The number of columns of a block."""
        wanted = BLOCK_NUMBERS // max(len(self.rows), 1)
        return int(np.clip(1 << max(wanted.bit_length() - 1, 0), FEWEST, MOST))

    def verify(self) -> None:
        """Look for hostile rows, if no pass did so yet."""
        if not self._known:
            self._first(partial(self._survey, lambda block, columns, peaks: None), self._cut(self.width))

    def _cut(self, width: int, lead: int = 0) -> list[slice]:
        """Blocks of columns of this width; the first one is wider by `lead`."""
        columns = self.rows.shape[1]
        first = min(lead + width, columns)
        rest = column_blocks(columns - first, width)
        return [slice(0, first), *(slice(first + block.start, first + block.stop) for block in rest)]

    def _blocks(self, work: Callable[[Array, slice, Floats], T], cut: Sequence[slice]) -> list[T]:
        """The results of `work` on all blocks, their columns, and the largest magnitudes [N] of the suspects."""
        if not self._known:
            return self._first(partial(self._survey, work), cut)
        return list(in_order(partial(work, self.rows[:, columns], columns, self._peaks) for columns in cut))

    def _first(self, look: Callable[[Array, slice], tuple[T | None, Floats]], cut: Sequence[slice]) -> list[T]:
        """The results of the first pass, in which `look` also tells the largest magnitudes [N] of the suspects."""
        results, total = [], self._peaks
        for result, peaks in in_order(partial(look, self.rows[:, columns], columns) for columns in cut):
            total = np.maximum(total, peaks)
            results.append(result)
        if self._known:
            return [result for result in results if result is not None]
        self._known, self._peaks = True, self.largest(total)
        total = self._peaks
        found = np.flatnonzero(~(total <= self._limit)).tolist()
        if found:
            raise HostileRows({row: "too large to sum" if np.isfinite(total[row]) else "not finite" for row in found})
        return [result for result in results if result is not None]

    def _survey(
        self, work: Callable[[Array, slice, Floats], T], block: Array, columns: slice
    ) -> tuple[T | None, Floats]:
        """The work on a block without hostile numbers, and the largest magnitudes of the suspects in it."""
        peaks = np.zeros(len(self.rows))
        peaks[self._suspects] = self.passes.peaks(block, self._suspects)
        clean = bool((peaks <= self._limit).all())
        return work(block, columns, peaks) if clean else None, peaks

    def finite(self, lines: Lines) -> bool:
        """Whether all numbers in these rows are finite."""
        found = self.like(self._given, lines)
        try:
            found.verify()
        except HostileRows:
            return False
        return bool(np.isfinite(found._peaks).all())

    def squared_distances(self, pairs: Index) -> Floats:
        """``||x_p - x_q||^2`` [e] for pairs [e, 2]; -1 in the place of q is the origin.

        Float32 numbers are summed in float32 within a block, unless their squares could vanish or overflow there.
        """
        cut = self._cut(ALONE if thread_count() == 1 else SUMMED)
        if self._known:
            known = partial(self._narrow_and_wide, pairs, self.passes.meeting(self._suspects[:0], pairs))
            return self.added(list(chain.from_iterable(self._blocks(known, cut))), len(pairs))
        covered = bool(np.isin(pairs[:, 0], self._suspects).all())
        looked = partial(self._surveyed, pairs, self.passes.meeting(self._suspects, pairs), covered)
        return self.added(list(chain.from_iterable(self._first(looked, cut))), len(pairs))

    def _surveyed(
        self, pairs: Index, meeting: Any, covered: bool, block: Array, columns: slice
    ) -> tuple[Floats, Floats]:
        """The squared distances [c, e] in a block that nobody has looked at, and the magnitudes of the suspects in it.

        Each line is of :data:`SUMMED` columns. `covered` says that each pair begins with a suspect: then no pair is
        wide where no suspect is out of the usual.
        """
        largest, found = self.passes.surveyed_distances(block, meeting, SUMMED)
        peaks = np.zeros((len(largest), len(self.rows)))
        peaks[:, self._suspects] = largest
        if not (covered and _usual(largest).all()):
            for part, high, line in zip(column_blocks(block.shape[1], SUMMED), peaks, found, strict=True):
                wide = _wide(high, pairs)
                if wide.any() and (high <= self._limit).all():
                    line[wide] = self.passes.squared_distances(block[:, part], pairs[wide], True)
        return found, peaks.max(axis=0)

    def _narrow_and_wide(self, pairs: Index, meeting: Any, block: Array, columns: slice, peaks: Floats) -> Floats:
        """As :meth:`_surveyed`, for rows of which the largest magnitudes `peaks` are known."""
        wide = _wide(peaks, pairs)
        if not wide.any():
            narrow: Floats = self.passes.surveyed_distances(block, meeting, SUMMED)[1]
            return narrow
        parts = list(column_blocks(block.shape[1], SUMMED))
        found = np.empty((len(parts), len(pairs)))
        for part, line in zip(parts, found, strict=True):
            for chosen, kind in ((~wide, False), (wide, True)):
                if chosen.any():
                    line[chosen] = self.passes.squared_distances(block[:, part], pairs[chosen], kind)
        return found

    def combine(self, index: Index, weights: Floats, lines: Lines, out: Array) -> None:
        """Line ``lines[i]`` of `out` gets ``sum_j weights_ij x_(index_ij)``, for index and weights [g, m].

        The heaviest letter of a line is summed around, and letters without weight are not read.
        """
        order = np.argsort(-np.abs(weights), axis=1, kind="stable")
        ordered = np.take_along_axis(weights, order, axis=1)
        used = ordered != 0.0
        used[:, 0] = True
        starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        rows = np.take_along_axis(index, order, axis=1)[used].astype(np.int64)
        beside = _beside(self._given, out)
        suspects = self._suspects if beside and not self._known else self._suspects[:0]
        shares = self.passes.shares(suspects, starts, rows, ordered[used], self.rows.dtype)
        if not beside:
            self.write([(lines, lambda block, *target: self.passes.combine(block, shares, *target))], out)
            return

        width = self.width

        def look(block: Array, columns: slice) -> tuple[None, Floats]:
            peaks = np.zeros(len(self.rows))
            peaks[suspects] = self.passes.combine(block, shares, lines, columns.start, out, width)
            return None, peaks

        self._first(look, self._cut(ALONE if thread_count() == 1 else COMBINED, self.passes.lead(out)))

    def medians(self, index: Index, maps: Floats | None) -> Write:
        """Makes the medians by columns of the letters ``index[i]`` [m], or of the m' sums ``maps[i] @ x`` [m', m]."""
        return lambda block, *target: self.passes.medians(block, index, maps, *target)

    def trimmed_means(self, index: Index, maps: Floats | None, f: int) -> Write:
        """As :meth:`medians`, the means without the f smallest and the f largest values of each column; 2f < m'."""
        return lambda block, *target: self.passes.trimmed_means(block, index, maps, f, *target)

    def means_around(self, index: Index, kept: int) -> Write | None:
        """Makes the means of the `kept` values nearest to the median of each column of the letters ``index[i]`` [m].

        None where there is no quicker way than one by one.
        """
        found: Write | None = self.passes.means_around(self.rows, index, kept)
        return found

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
        beside = _beside(self._given, out)
        if out is self._given:
            self.verify()  # what was overwritten could not be mixed again

        def part(block: Array, columns: slice, peaks: Floats) -> None:
            if beside:
                for lines, work in jobs:
                    work(block, lines, columns.start, out)
                return
            made = [np.empty((len(lines), block.shape[1]), block.dtype) for lines, _ in jobs]
            for (lines, work), values in zip(jobs, made, strict=True):
                work(block, np.arange(len(lines)), 0, values)
            for (lines, _), values in zip(jobs, made, strict=True):  # only now: the block may be what was read
                out[lines, columns] = values

        lead = self.passes.lead(out) if beside else 0
        self._blocks(part, self._cut(width or self.width, lead))


def _beside(rows: Array, out: Array) -> bool:
    """Whether what is made of a block can be written to `out` while the block is still read."""
    return out is not rows and out.flags.c_contiguous


def _wide(peaks: Floats, pairs: Index) -> NDArray[np.bool_]:
    """Which pairs [e] have numbers whose squares do not fit into float32, for the largest ones [N] of the rows."""
    ends = np.append(peaks, 0.0)  # the last place is the origin's
    largest = np.maximum(ends[pairs[:, 0]], ends[pairs[:, 1]])
    return ~_usual(largest)


def _usual(largest: Floats) -> NDArray[np.bool_]:
    """Which of the largest magnitudes have squares that fit into float32."""
    return np.asarray((largest >= NARROW[0]) & (largest <= NARROW[1]))
