"""The data that one aggregation reads, and how often: every pass over the columns happens in :meth:`Source.sweep`.

The first reading of the data, whatever its purpose, also searches for hostile rows. The rule works on all rows in the
meantime. If no row is hostile, no time was lost: a column-wise rule reads the data once and a geometric one twice, for
any chain of pre-aggregations in front of it. If a row is hostile, :class:`HostileRows` ends the attempt, and the same
rule is called again with the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache, cached_property, partial
from threading import Event
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.kernels.choice import kernels_for
from robustfl.aggregation.kernels.threads import in_order
from robustfl.aggregation.updates.gram import Gram, row_medians
from robustfl.aggregation.updates.readers import Dense, Reader

T = TypeVar("T")
R = TypeVar("R")
Extent = tuple[Floats, Floats]
Work = Callable[[Array, slice, Extent | None], T]
"""(values [n, b], their columns, the rows' extents where the reading computes them anyway) -> what is wanted of them"""

FAR = 1e6
"""Squared distance of the reference, in squared distances between rows: beyond it, ten digits are not enough."""

ALIKE = 4.0
"""Ratio of squared norms up to which rows are about as long as each other."""

NOISE_BLOCK = 1 << 16
"""Number of columns whose noise comes from one generator, so that noise does not depend on how columns are split."""


class HostileRows(Exception):
    """The first reading found hostile rows: `reasons` maps their positions in the source to what is wrong."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class Source:
    """The accepted rows of one aggregation, its extra points and what has been learnt from reading them.

    Attributes
    ----------
    ids : the clients of the rows
    n, d : the numbers of rows and columns; this process holds `d_here` of the columns, from `offset` on
    extras : points [d_here] that the geometry includes in addition to the rows
    geometric : whether the rule or a stage before it will ask for the Gram
    trusted : an update [d_here] that the server itself computed, or None
    leaves : the name and the number of columns of each array in an update, in order; empty if arrays have no names
    share : factor from a row's weight to the weight of the update that came in (less than 1 after a momentum)
    """

    def __init__(
        self,
        reader: Reader,
        ids: tuple[Hashable, ...],
        rows: list[int] | None = None,
        *,
        trusted: Array | None = None,
        share: float = 1.0,
    ) -> None:
        self.reader = reader
        self.ids = ids
        self.rows = rows
        self.trusted = trusted
        self.share = share
        self.n = len(ids)
        self.d = self.d_here = reader.d
        self.offset = 0
        self.extras: list[Array] = []
        self.geometric = False
        self.extent: Extent | None = None
        self.leaves: tuple[tuple[str, int], ...] = ()

    @cached_property
    def kernels(self) -> Kernels:
        return kernels_for(self.reader.device, self.n * self.d)

    # Several processes may each hold some of the columns; they communicate in these three methods only.

    def total(self, value: Array) -> Array:
        """The sum of `value` over all processes that hold columns."""
        return value

    def largest(self, value: Floats) -> Floats:
        """The maximum of `value` over all processes that hold columns; it is NaN if a value is NaN."""
        return value

    def agreed(self, flag: bool) -> bool:
        """Whether `flag` holds in all processes."""
        return flag

    def failed(self, error: Exception) -> None:
        """Tell the other processes, at their next meeting, that this one cannot go on; they raise the same error."""

    # Reading

    def sweep(self, work: Work[T]) -> Iterator[tuple[slice, T]]:
        """One reading: the results of `work` on every block of columns, in order, computed in parallel if that pays.

        Until the extents of the rows are known, a reading computes them as well.

        Raises
        ------
        HostileRows : at the end of the first reading, if it found any
        """
        size = self.kernels.width(self.n)
        pieces = self.reader.pieces(self.rows, size)
        if self.extent is not None:
            for columns, result, _ in self._run(partial(_work, work, *piece) for piece in pieces):
                yield columns, result
            return
        limit = largest_magnitude(self.reader.working, self.n, self.d)
        peak, square, spoiled = np.zeros(self.n), np.zeros(self.n), Event()
        tasks = (partial(_survey, work, self.kernels, limit, spoiled, *piece) for piece in pieces)
        for columns, found, extent in self._run(tasks):
            peak, square = np.maximum(peak, extent[0]), square + extent[1]
            if found is not None and not spoiled.is_set():
                yield columns, found
        self._settle(self.largest(peak), self.total(square), limit)

    def _run(self, tasks: Iterator[Callable[[], R]]) -> Iterator[R]:
        """The results of the tasks in order: in threads on the host, one by one on an accelerator.

        An accelerator is parallel in itself, and threads would only keep more blocks in its memory at the same time.
        """
        return in_order(tasks) if self.reader.device is None else (task() for task in tasks)

    def _settle(self, peak: Floats, square: Floats, limit: float) -> None:
        self.extent = peak, square
        hostile = np.flatnonzero(~(peak <= limit))
        if len(hostile):
            raise HostileRows(
                {int(row): "too large to sum" if np.isfinite(peak[row]) else "not finite" for row in hostile}
            )

    def verify(self) -> None:
        """Make sure that no row is hostile; this reads the data if there was no reading yet."""
        if self.extent is None:
            for _ in self.sweep(lambda values, columns, extent: True):
                pass

    def without(self, hostile: dict[int, str]) -> Source:
        """The same data without the hostile rows; extents that are known already are kept."""
        kept = [row for row in range(self.n) if row not in hostile]
        rows = kept if self.rows is None else [self.rows[row] for row in kept]
        rest = self._alike(self.reader, tuple(self.ids[row] for row in kept), rows)
        if self.extent is not None:
            rest.extent = self.extent[0][kept], self.extent[1][kept]
        rest.leaves = self.leaves
        return rest

    def replaced(self, matrix: Array, share: float) -> Source:
        """A source with other rows [n, d_here] of the same clients, which a pre-aggregation with a memory computed."""
        other = self._alike(Dense(matrix, self.reader.working), self.ids, None)
        other.extras, other.share, other.geometric = self.extras, self.share * share, self.geometric
        other.leaves = self.leaves
        return other

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        return Source(reader, ids, rows, trusted=self.trusted, share=self.share)

    # What rules ask for

    @property
    def squared_norms(self) -> Floats:
        """`||x_i||^2`, [n]; they take a reading of their own only if the Gram will not be needed anyway."""
        if self.extent is None and self.geometric:
            _ = self.gram.centred
        self.verify()
        assert self.extent is not None
        return self.extent[1]

    @cached_property
    def gram(self) -> Gram:
        """The Gram of rows, origin and extra points; it reads the data when a rule first asks for something in it."""
        return Gram(self._centred_gram, self.n, len(self.extras), norms=lambda: self.squared_norms)

    def _centred_gram(self) -> Gram:
        """Inner products around a reference point: in every block of columns, it is the row of median norm there.

        If no majority of the rows is about equally long, the rows have no large part in common. Then the reference is
        the origin, which keeps the precision of short rows next to long ones.

        A single row of any size cannot move this reference far, as it could move the mean. But a hostile row can have
        the median norm, too (an honest row with its sign flipped has it). If the reference turns out to be far away
        from rows that are close together, the data are read once more, around one of those rows.
        """
        gram = Gram(self._gram_around(None), self.n)
        offset = gram.centred[gram.central, gram.central]
        if offset > FAR * row_medians(gram.squared_distances[gram.central, None])[0]:
            return Gram(self._gram_around(gram.central), self.n)
        return gram

    def _gram_around(self, row: int | None) -> Floats:
        def products(values: Array, columns: slice, extent: Extent | None) -> Floats:
            place = _typical((extent or self.kernels.row_extent(values))[1]) if row is None else row
            reference = self.zeros(values.shape[1]) if place is None else values[place]
            extras = self._extras(columns) if self.extras else None
            return self.kernels.centred_gram(values, reference, extras)

        size = self.n + 1 + len(self.extras)
        gram = np.zeros((size, size))
        for _, part in self.sweep(products):
            gram += part
        return np.asarray(self.total(gram))

    def combine(self, weights: Floats, extra: Floats | None = None) -> Array:
        """`weights @ X`: [n] -> [d_here], or [m, n] -> [m, d_here]; the weights `extra` [e] add the extra points."""

        def part(values: Array, columns: slice) -> Array:
            sums = self.kernels.combine(weights, values)
            return sums if extra is None else sums + self.kernels.combine(extra, self._extras(columns))

        return self._filled(part, weights.shape[:-1])

    def _extras(self, columns: slice) -> Array:
        return self.kernels.stack([point[columns] for point in self.extras])

    def columnwise(self, work: Callable[[Array], Array], leading: tuple[int, ...] = ()) -> Array:
        """The results [..., b] of `work` on all blocks, put together to [..., d_here]."""
        return self._filled(lambda values, columns: work(values), leading)

    def _filled(self, work: Callable[[Array, slice], Array], leading: tuple[int, ...]) -> Array:
        result = self.kernels.empty((*leading, self.d_here), self.reader.working)

        def place(values: Array, columns: slice, extent: Extent | None) -> bool:
            result[..., columns] = work(values, columns)  # every task writes to columns of its own
            return True

        for _ in self.sweep(place):
            pass
        return result

    def fold(self, work: Callable[[Array], Any], columns: NDArray[np.int64]) -> Floats:
        """The sum of the results of `work` on the given columns (ascending), over all blocks and all processes."""
        self.verify()
        wanted = columns - self.offset

        def part(values: Array, block: slice, extent: Extent | None) -> Floats | None:
            first, last = np.searchsorted(wanted, (block.start, block.stop))
            if first == last:
                return None
            begin, end = int(wanted[first]) - block.start, int(wanted[last - 1]) + 1 - block.start
            gapless = end - begin == last - first  # then no column has to be copied
            return np.asarray(work(values[:, begin:end] if gapless else values[:, wanted[first:last] - block.start]))

        found = [result for _, result in self.sweep(part) if result is not None]
        if not found:  # every process has to contribute a value of the same shape
            found = [np.asarray(work(self.kernels.empty((self.n, 0), self.reader.working)))]
        return np.asarray(self.total(np.sum(found, axis=0, dtype=np.float64)))

    def whole(self) -> Array | None:
        """All rows [n, d] in the memory of this host, if they fit into one block; else None."""
        if self.reader.device is not None or self.d_here != self.d or self.d > self.kernels.width(self.n):
            return None
        return np.concatenate([values.copy() for _, values in self.sweep(lambda values, *_: values)], axis=1)

    def zeros(self, length: int | None = None) -> Array:
        """A vector of zeros, [d_here] unless its length is given."""
        vector = self.kernels.empty((self.d_here if length is None else length,), self.reader.working)
        vector[:] = 0
        return vector

    def place(self, vector: Array) -> Array:
        """The vector [d_here] on the device of the data; it may come from elsewhere, such as a saved state."""
        return self.kernels.place(vector, self.reader.working)

    def noise(self, *key: int) -> Array:
        """Standard normal numbers [d_here], which depend only on the key and on the position of a column."""
        result = np.empty(self.d_here, dtype=self.reader.working)
        end = self.offset + self.d_here
        for number in range(self.offset // NOISE_BLOCK, -(-end // NOISE_BLOCK)):
            start = number * NOISE_BLOCK
            drawn = np.random.default_rng([*key, number]).standard_normal(NOISE_BLOCK)
            low, high = max(start, self.offset), min(start + NOISE_BLOCK, end)
            result[low - self.offset : high - self.offset] = drawn[low - start : high - start]
        return self.place(result)


@cache
def largest_magnitude(working: str, n: int, d: int) -> float:
    """Entries larger than this are hostile, because sums of `n` rows, or squared norms in float64, could overflow.

    For float32 rows the sums set the limit (their squares are summed in float64), for float64 rows the squares.
    """
    if working == "float32":
        return float(np.finfo(np.float32).max) / (4 * n)
    return float(np.sqrt(np.finfo(np.float64).max / (16.0 * n * d)))


def _work(work: Work[T], columns: slice, values: Callable[[], Array]) -> tuple[slice, T, None]:
    return columns, work(values(), columns, None), None


def _survey(
    work: Work[T], kernels: Kernels, limit: float, spoiled: Event, columns: slice, values: Callable[[], Array]
) -> tuple[slice, T | None, Extent]:
    """The extents of a block, and the work on it unless a hostile value was found: no rule ever sees one."""
    block = values()
    extent = kernels.row_extent(block)
    if not (extent[0] <= limit).all():
        spoiled.set()
    return columns, None if spoiled.is_set() else work(block, columns, extent), extent


def _typical(squares: Floats) -> int | None:
    """The (first) row of median norm in a block, or None if no majority of the rows is about equally long."""
    order = np.argsort(squares, kind="stable")
    half = (len(squares) - 1) // 2
    ordered = squares[order]
    alike = (ordered[len(squares) - 1 - half :] <= ALIKE * ordered[: half + 1]).any()
    return int(order[half]) if alike else None
