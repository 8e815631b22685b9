"""The short way for small problems: rows in the memory of the host that are one block of columns.

A simulation asks a rule a million times about some thousand numbers. Blocks, threads and their bookkeeping would then
take several times as long as the arithmetic. So each question of a rule is one call of a kernel, which also looks for
hostile values where nobody did so before. The operations, their order and their results are those of :class:`Source`,
to the last bit; a call that meets hostile rows goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.kernels.choice import MOST_POINTS, host_kernels
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.updates.gram import ROUNDING, Gram
from robustfl.aggregation.updates.readers import Dense, Reader, converted
from robustfl.aggregation.updates.source import ALIKE, FAR, Source, Work, largest_magnitude

T = TypeVar("T")


class OneBlock(Source):
    """All rows of a matrix that is read at once and in place; see :func:`source_of`."""

    def __init__(self, reader: Dense, ids: tuple[Hashable, ...], kernels: Host, **known: Any) -> None:
        super().__init__(reader, ids, **known)
        self.kernels: Host = kernels
        self.block = converted(reader.matrix, reader.working)
        self.clean = False
        """Whether it is known that no row is hostile."""

    def sweep(self, work: Work[T]) -> Iterator[tuple[slice, T]]:
        """One reading, which is over when this returns; see :meth:`Source.sweep`."""
        self.verify()
        return iter(((slice(0, self.d), work(self.block, slice(0, self.d), self.extent)),))

    def verify(self) -> None:
        if not self.clean:
            self.clean = self.kernels.fits(self.block, self._limit)
            if not self.clean:
                self._measure()

    def _measure(self) -> None:
        """Compute the extents of the rows; this ends the attempt if one of them is hostile."""
        self._settle(*self.kernels.row_extent(self.block), self._limit)
        self.clean = True

    @property
    def _limit(self) -> float:
        return largest_magnitude(self.reader.working, self.n, self.d)

    @property
    def squared_norms(self) -> Floats:
        if self.extent is None and self.geometric:
            _ = self.gram.centred
        if self.extent is None:
            self._measure()
        assert self.extent is not None
        return self.extent[1]

    def _centred_gram(self) -> Gram:
        found = None
        if self.n + 1 + len(self.extras) <= MOST_POINTS:
            extras = self._extras(slice(0, self.d)) if self.extras else None
            found = self.kernels.clean_gram(self.block, self._limit, extras, ALIKE, FAR, ROUNDING)
        if found is None or not found.clean:
            self._measure()
            return super()._centred_gram()
        self.extent, self.clean = found.extent, True
        if found.far:
            return super()._centred_gram()
        gram = Gram(found.centred, self.n)
        gram.squared_distances = found.squared_distances
        return gram

    def combine(self, weights: Floats, extra: Floats | None = None) -> Array:
        if not self.clean and weights.ndim == 1 and extra is None:
            found = self.kernels.clean_combine(weights, self.block, self._limit)
            if found is None:
                self._measure()
            self.clean = True
            return found
        self.verify()
        sums = self.kernels.combine(weights, self.block)
        return sums if extra is None else sums + self.kernels.combine(extra, self._extras(slice(0, self.d)))

    def columnwise(self, work: Callable[[Array], Array], leading: tuple[int, ...] = ()) -> Array:
        self.verify()
        result = self.kernels.empty((*leading, self.d), self.reader.working)
        result[...] = work(self.block)
        return result

    def whole(self) -> Array:
        self.verify()
        return self.block

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        if rows is not None or not isinstance(reader, Dense):
            return super()._alike(reader, ids, rows)
        return OneBlock(reader, ids, self.kernels, trusted=self.trusted, share=self.share)


def source_of(reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
    """The source for rows of any reader: the short way if all rows of a matrix on the host fit into one block."""
    if type(reader) is Dense and rows is None and reader.device is None and reader.mapped is None:
        kernels = host_kernels(reader.n * reader.d)
        if reader.d <= kernels.width(reader.n):
            return OneBlock(reader, ids, kernels)
    return Source(reader, ids, rows)
