"""The short way for small problems: rows in the memory of the host that are one block of columns.

A simulation asks a rule a million times about some thousand numbers. Blocks, threads and their bookkeeping would then
take several times as long as the arithmetic. The operations, their order and their results are those of
:class:`Source`, to the last bit; a call that meets hostile rows goes the long way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, TypeVar

from robustfl.aggregation.kernels.base import Kernels
from robustfl.aggregation.kernels.choice import kernels_for
from robustfl.aggregation.updates.readers import Dense, Reader, converted
from robustfl.aggregation.updates.source import Source, Work, largest_magnitude

T = TypeVar("T")


class OneBlock(Source):
    """All rows of a matrix that is read at once and in place; see :func:`source_of`."""

    def __init__(self, reader: Dense, ids: tuple[Hashable, ...], kernels: Kernels, **known: Any) -> None:
        super().__init__(reader, ids, **known)
        self.kernels = kernels
        self.block = converted(reader.matrix, reader.working)

    def sweep(self, work: Work[T]) -> Iterator[tuple[slice, T]]:
        """One reading, which is over when this returns; see :meth:`Source.sweep`."""
        columns, extent = slice(0, self.d), None
        if self.extent is None:
            extent = self.kernels.row_extent(self.block)
            limit = largest_magnitude(self.reader.working, self.n, self.d)
            if not (extent[0] <= limit).all():
                self._settle(*extent, limit)
        result = work(self.block, columns, extent)
        if extent is not None:
            self.extent = extent
        return iter(((columns, result),))

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        if rows is not None or not isinstance(reader, Dense):
            return super()._alike(reader, ids, rows)
        return OneBlock(reader, ids, self.kernels, trusted=self.trusted, share=self.share)


def source_of(reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
    """The source for rows of any reader: the short way if all rows of a matrix on the host fit into one block."""
    if type(reader) is Dense and rows is None and reader.device is None and reader.mapped is None:
        kernels = kernels_for(None, reader.n * reader.d)
        if reader.d <= kernels.width(reader.n):
            return OneBlock(reader, ids, kernels)
    return Source(reader, ids, rows)
