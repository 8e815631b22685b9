"""The families of rules: weighted sums from Gram space, column-wise rules, and pre-aggregations that mix rows."""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from robustfl.aggregation.contracts import Aggregator, PreAggregation
from robustfl.aggregation.defense import Outcome
from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.kernels.host import all_finite
from robustfl.aggregation.updates.gram import Gram
from robustfl.aggregation.updates.grams import Grams
from robustfl.aggregation.updates.rows import Rows
from robustfl.errors import RobustflError


@dataclass(frozen=True, kw_only=True)
class GramAggregator(Aggregator):
    """A rule of the form `w @ X` with `w` computed from Gram space alone.

    It reads the data twice, whatever happens in between: once for the Gram and once for the sum.
    """

    family: ClassVar[str] = "geometric"

    @property
    def geometric(self) -> bool:
        return True

    @property
    def rotation_equivariant(self) -> bool:
        return not (self.stateful or self.wants_trusted)

    @abstractmethod
    def weights(self, gram: Gram) -> Floats:
        """The weights of the rows: [n], or [n + e] for a rule with e extra points."""

    def weights_of_all(self, grams: Grams) -> Floats | None:
        """The weights [g, n] of g sets of rows at once; None if there is no quicker way than one call a set.

        Peers without a server ask for it, for many neighbourhoods of one size at a time. It agrees with the
        :meth:`weights` of the same class: where a subclass overrides these alone, nobody asks it.
        """
        return None

    def direct(self, rows: Rows) -> tuple[Array, Floats] | None:
        """The answer [d] and its weights from the rows themselves, where that takes less time than a Gram; else None.

        It agrees with the :meth:`weights` of the same class: where a subclass overrides these alone, nobody asks it.
        """
        return None

    def next_state(self, value: Array) -> dict[str, Any] | None:
        """The state after this call, given the flat aggregate [d]; None leaves it unchanged."""
        return None

    @final
    def _aggregate(self, rows: Rows) -> Outcome:
        found = self.direct(rows) if is_current(type(self), "direct", "weights") else None
        weights = np.asarray(self.weights(rows.gram) if found is None else found[1], dtype=np.float64)
        if weights.shape not in ((rows.n,), (rows.n + len(rows.source.extras),)) or not all_finite(weights):
            raise RobustflError(f"{self!r} computed weights that are not {rows.n} finite numbers: {weights}.")
        value = rows.combine(weights) if found is None else found[0]
        return Outcome(value, rows.source_weights(weights[: rows.n]), state=self.next_state(value))


@functools.cache
def is_current(kind: type, quicker: str, method: str) -> bool:
    """Whether no subclass overrides `method` without its `quicker` form, which would then agree with another one."""
    return next(quicker in vars(one) for one in kind.__mro__ if {quicker, method} & vars(one).keys())


@dataclass(frozen=True, kw_only=True)
class CoordinateWise(Aggregator):
    """A rule that treats every column on its own, in one pass over the data, one block of columns at a time."""

    family: ClassVar[str] = "column-wise"

    @abstractmethod
    def columns(self, block: Array, ops: Kernels) -> Array:
        """The result [b] of a block of columns [n, b]."""

    @final
    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(rows.columnwise(self.columns))


@dataclass(frozen=True, kw_only=True)
class RowMap(PreAggregation):
    """A pre-aggregation whose new rows are weighted sums of the rows, given by a matrix.

    The matrix is applied in Gram space, or to one block of columns at a time. Row i of the new rows belongs to the
    client of row i, unless `regroups` says that the new rows are groups of clients: those are known by their numbers.
    """

    regroups: ClassVar[bool] = False

    @property
    def rotation_equivariant(self) -> bool:
        return not self.stateful

    @abstractmethod
    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        """The matrix [m, n] for these rows, and the state after this call (None if it is unchanged)."""

    def matrices_of_all(self, grams: Grams) -> Floats | None:
        """The matrices [g, m, n] for g sets of rows at once; None if there is no quicker way than one call a set.

        It agrees with the :meth:`matrix` of the same class: where a subclass overrides that alone, nobody asks it.
        """
        return None

    @final
    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        matrix, state = self.matrix(rows)
        return rows.mixed(matrix, tuple(range(len(matrix))) if self.regroups else None), state
