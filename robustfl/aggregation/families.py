"""The families of rules: weighted sums from Gram space, column-wise rules, and what `>>` makes of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from robustfl.aggregation.contracts import Aggregator, Defense, Outcome, PreAggregation
from robustfl.aggregation.gram import Gram
from robustfl.aggregation.kernels import Array, Floats, Kernels
from robustfl.aggregation.rows import Rows
from robustfl.aggregation.source import Source
from robustfl.errors import RobustflError, StateError


@dataclass(frozen=True, kw_only=True)
class GramAggregator(Aggregator):
    """A rule of the form `w @ X` with `w` computed from Gram space alone.

    Two passes over the data, whatever happens between them: one for the Gram, one for the sum.
    """

    family: ClassVar[str] = "geometric"

    @property
    def geometric(self) -> bool:
        return True

    @property
    def rotates(self) -> bool:
        return not (self.stateful or self.wants_trusted)

    @abstractmethod
    def weights(self, gram: Gram) -> Floats:
        """The weights: [n], or [n + e] for a rule with extra points."""

    def next_state(self, value: Array) -> dict[str, Any] | None:
        """The state after this call, given the flat aggregate [d]; None leaves it unchanged."""
        return None

    @final
    def _aggregate(self, rows: Rows) -> Outcome:
        weights = np.asarray(self.weights(rows.gram), dtype=np.float64)
        if weights.shape not in ((rows.n,), (rows.n + len(rows.source.extras),)) or not np.isfinite(weights).all():
            raise RobustflError(f"{self!r} computed weights that are not {rows.n} finite numbers: {weights}.")
        value = rows.combine(weights)
        return Outcome(value, rows.source_weights(weights[: rows.n]), state=self.next_state(value))


@dataclass(frozen=True, kw_only=True)
class CoordinateWise(Aggregator):
    """A rule that treats every column on its own: one pass over the data, a block of columns at a time."""

    family: ClassVar[str] = "column-wise"

    @abstractmethod
    def columns(self, block: Array, ops: Kernels) -> Array:
        """The result [b] of a block of columns [n, b]."""

    @final
    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(rows.columnwise(self.columns))


@dataclass(frozen=True, kw_only=True)
class RowMap(PreAggregation):
    """A pre-aggregation whose rows are weighted sums of the rows: a matrix, applied in Gram space or block by block."""

    @property
    def rotates(self) -> bool:
        return not self.stateful

    @abstractmethod
    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        """The map [m, n] for these rows, and the state after this call (None: unchanged)."""

    @final
    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        matrix, state = self.matrix(rows)
        return rows.mixed(matrix), state


@dataclass(frozen=True, kw_only=True, repr=False)
class Pipeline(Aggregator):
    """A pre-aggregation and then an aggregator, as one aggregator: `NNM(f=2) >> TrimmedMean(f=2)`."""

    state_keys: ClassVar[tuple[str, ...]] = ("before", "rule")

    before: PreAggregation
    rule: Aggregator

    def __repr__(self) -> str:
        return f"{self.before!r} >> {self.rule!r}"

    def __str__(self) -> str:
        return f"{self.before} > {self.rule}"

    @property
    def channel(self) -> str:  # type: ignore[override]  # of a class elsewhere, here of the rule
        """That of the rule: what is computed before it changes nothing in what clients send and get."""
        return self.rule.channel

    @property
    def stateful(self) -> bool:
        return self.before.stateful or self.rule.stateful

    @property
    def unclaimed(self) -> frozenset[str]:
        return self.before.unclaimed | self.rule.unclaimed

    @property
    def geometric(self) -> bool:
        return self.before.geometric or self.rule.geometric

    @property
    def rotates(self) -> bool:
        return self.before.rotates and self.rule.rotates

    @property
    def wants_trusted(self) -> bool:
        return self.rule.wants_trusted

    @property
    def byzantine(self) -> int | None:
        return _most(self.before, self.rule)

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return _infeasible(self.before, self.rule, n, f)

    def with_fewer(self, dropped: int) -> Pipeline:
        if not dropped:
            return self
        before, rule = self.before.with_fewer(dropped), self.rule.with_fewer(dropped)
        assert isinstance(before, PreAggregation)
        assert isinstance(rule, Aggregator)
        return Pipeline(before=before, rule=rule)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before.state_dict(), "rule": self.rule.state_dict()}

    def _commit(self, state: dict[str, Any]) -> None:
        _commit_parts(state, before=self.before, rule=self.rule)

    def extra_points(self, source: Source) -> list[Array]:
        return self.rule.extra_points(source)

    def _aggregate(self, rows: Rows) -> Outcome:
        mixed, before = self.before.apply(rows)
        outcome = self.rule._aggregate(mixed)
        return Outcome(outcome.value, outcome.weights, outcome.info, {"before": before, "rule": outcome.state})


@dataclass(frozen=True, kw_only=True, repr=False)
class Chain(PreAggregation):
    """Two pre-aggregations, one after the other, as one."""

    state_keys: ClassVar[tuple[str, ...]] = ("first", "then")

    first: PreAggregation
    then: PreAggregation

    def __repr__(self) -> str:
        return f"{self.first!r} >> {self.then!r}"

    def __str__(self) -> str:
        return f"{self.first} > {self.then}"

    @property
    def stateful(self) -> bool:
        return self.first.stateful or self.then.stateful

    @property
    def unclaimed(self) -> frozenset[str]:
        return self.first.unclaimed | self.then.unclaimed

    @property
    def geometric(self) -> bool:
        return self.first.geometric or self.then.geometric

    @property
    def rotates(self) -> bool:
        return self.first.rotates and self.then.rotates

    @property
    def byzantine(self) -> int | None:
        return _most(self.first, self.then)

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return _infeasible(self.first, self.then, n, f)

    def output_rows(self, n: int) -> int:
        return self.then.output_rows(self.first.output_rows(n))

    def with_fewer(self, dropped: int) -> Chain:
        if not dropped:
            return self
        first, then = self.first.with_fewer(dropped), self.then.with_fewer(dropped)
        assert isinstance(first, PreAggregation)
        assert isinstance(then, PreAggregation)
        return Chain(first=first, then=then)

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first.state_dict(), "then": self.then.state_dict()}

    def _commit(self, state: dict[str, Any]) -> None:
        _commit_parts(state, first=self.first, then=self.then)

    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        inner, first = self.first.apply(rows)
        outer, then = self.then.apply(inner)
        return outer, {"first": first, "then": then}


def _most(*parts: Defense) -> int | None:
    """The largest number of Byzantine rows that a part declares, or None when no part is told."""
    return max((part.byzantine for part in parts if part.byzantine is not None), default=None)


def _infeasible(before: PreAggregation, then: Defense, n: int, f: int | None) -> str | None:
    """Why either part cannot work; the second one sees the rows that the first one makes."""
    left = before.output_rows(n)
    reason = before.infeasible(n, f)
    if reason is not None:
        return reason
    reason = then.infeasible(left, f)
    return f"{before} makes {left} rows of {n}. {reason}" if reason is not None and left != n else reason


def _commit_parts(state: dict[str, Any], **parts: Defense) -> None:
    """Hand each part its own state: a part that is absent is reset, one that is None keeps what it has."""
    for name, part in parts.items():
        own = state.get(name, {})
        if own is None:
            continue
        unknown = set(own) - set(part.state_keys)
        if unknown:
            raise StateError(f"{part!r} has no state {sorted(unknown)}.")
        part._commit(own)
