"""The update matrix that rules see: only accepted rows, which may be mixtures of the rows that came in."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.updates.gram import Gram
from robustfl.aggregation.updates.source import Extent, Source


@dataclass(frozen=True)
class Rows:
    """The rows `mixing @ X` over a shared source `X` [n, d]; without `mixing` they are the source's own rows.

    The mixture is never formed as a whole. The Gram is mixed as an `n x n` matrix, results are combined from the rows
    of the source, and column-wise rules see the mixture one block of columns at a time.
    """

    source: Source
    mixing: Floats | None = None
    names: tuple[Hashable, ...] | None = None
    """The ids of rows that are not those of the source; see :attr:`ids`."""

    @property
    def n(self) -> int:
        """The number of rows that the rule sees."""
        return self.source.n if self.mixing is None else len(self.mixing)

    @property
    def ids(self) -> tuple[Hashable, ...]:
        """Whose the rows are: the clients' ids, or numbers where a stage before has put clients together."""
        return self.source.ids if self.names is None else self.names

    @property
    def d(self) -> int:
        """The number of columns (parameters)."""
        return self.source.d

    @property
    def kernels(self) -> Kernels:
        return self.source.kernels

    @cached_property
    def gram(self) -> Gram:
        """The Gram space of these rows."""
        gram = self.source.gram if self.mixing is None else self.source.gram.mix(self.mixing)
        gram.ids = self.ids
        return gram

    @property
    def squared_norms(self) -> Floats:
        """`||x_i||^2`, [n]; they need the Gram only if the rows are mixtures."""
        return self.source.squared_norms if self.mixing is None else self.gram.squared_norms

    def squared_distances_to(self, point: Array) -> Floats:
        """`||x_i - p||^2`, [n], for a point [d_here]; one reading, and no Gram.

        Each is computed from its own row and the point alone, unlike distances in Gram space: another row can neither
        cost precision nor decide a tie by rounding.
        """

        def part(values: Array, columns: slice, extent: Extent | None) -> Floats:
            return self.kernels.row_extent(self._seen(values) - point[columns])[1]

        found = np.zeros(self.n)
        for _, squares in self.source.sweep(part):
            found += squares
        return np.asarray(self.source.total(found))

    def mixed(self, matrix: Floats, names: tuple[Hashable, ...] | None = None) -> Rows:
        """The rows that one more linear map [m, n] makes of these.

        They have the given names, else those of the rows before where there are as many, else numbers.
        """
        if names is None:
            names = self.names if len(matrix) == self.n else tuple(range(len(matrix)))
        return Rows(self.source, matrix if self.mixing is None else matrix @ self.mixing, names)

    def chosen(self, rows: NDArray[np.int64] | list[int]) -> Rows:
        """Some of the rows, in the given order."""
        return self.mixed(np.eye(self.n)[np.asarray(rows)], tuple(self.ids[row] for row in rows))

    def source_weights(self, weights: Floats) -> Floats:
        """The weights over the rows that came in that correspond to weights over these rows."""
        return self.source.share * (weights if self.mixing is None else weights @ self.mixing)

    def combine(self, weights: Floats) -> Array:
        """`sum_i w_i x_i` [d]; entries of `weights` beyond the rows belong to the extra points, in order."""
        own = weights[: self.n]
        extra = weights[self.n :] if len(weights) > self.n else None
        return self.source.combine(own if self.mixing is None else own @ self.mixing, extra)

    def columnwise(self, work: Callable[[Array, Kernels], Array]) -> Array:
        """The results of `work` on all blocks of columns, [n, b] -> [b], as one vector [d].

        Several threads work on blocks, in no fixed order, so `work` should depend on its arguments alone.
        """
        return self.source.columnwise(lambda values: work(self._seen(values), self.kernels))

    def fold(self, work: Callable[[Array], Any], columns: NDArray[np.int64]) -> Floats:
        """The float64 sum of `work(block [n, b])` over the given columns (ascending), computed block by block."""
        return self.source.fold(lambda values: work(self._seen(values)), columns)

    def materialised(self) -> Array:
        """The rows as a new matrix [n, d]; call it only when a copy of the updates is really wanted."""
        return self.source.combine(np.eye(self.n) if self.mixing is None else self.mixing)

    def _seen(self, values: Array) -> Array:
        return values if self.mixing is None else self.kernels.combine(self.mixing, values)
