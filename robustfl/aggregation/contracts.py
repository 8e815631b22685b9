"""What every defense on the server promises, and the one path that every update takes through it.

``aggregator(updates)`` is final: convert -> refuse hostile rows -> check the precondition -> the rule -> check the
result -> restore the caller's type. Authors of rules write only mathematics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, final, overload

import numpy as np

from robustfl.aggregation.defense import Aggregation, Defense, Outcome
from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.updates.layout import Batch, read_updates
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import HostileRows, Source, largest_magnitude
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

T = TypeVar("T")

Hostile = Literal["reject", "raise"]


@dataclass(frozen=True, kw_only=True)
class PreAggregation(Defense):
    """Updates -> updates; composes with `>>`. Subclass :class:`RowMap` where each new row is a sum of weighted rows."""

    family: ClassVar[str] = "pre-aggregation"

    @abstractmethod
    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        """The pre-aggregated rows, and the state after this call (None: unchanged)."""

    @overload
    def __rshift__(self, then: Aggregator) -> Pipeline: ...
    @overload
    def __rshift__(self, then: PreAggregation) -> Chain: ...
    def __rshift__(self, then: Aggregator | PreAggregation) -> Pipeline | Chain:

        if isinstance(then, Pipeline):  # `a >> (b >> c)` is `(a >> b) >> c`
            return (self >> then.before) >> then.rule
        if isinstance(then, Chain):
            return (self >> then.first) >> then.then
        if isinstance(then, Aggregator):
            return Pipeline(before=self, rule=then)
        if isinstance(then, PreAggregation):
            return Chain(first=self, then=then)
        return NotImplemented

    @final
    def __call__(self, updates: Any, *, ids: Iterable[Hashable] | None = None, hostile: Hostile = "reject") -> Any:
        """The pre-aggregated updates in the caller's own type: stacked if they came stacked, else a list."""

        def made(rule: Defense, source: Source) -> tuple[Array, dict[str, Any] | None]:
            assert isinstance(rule, PreAggregation)
            source.geometric = rule.geometric
            rows, state = rule.apply(Rows(source))
            return rows.materialised(), state

        batch = read_updates(updates, ids)
        (result, state), source = _answered(self, batch, hostile, None, made)
        if state is not None:
            self._commit(state)
        return batch.restore_rows(result, batch.callers_rows(source))


@dataclass(frozen=True, kw_only=True)
class Aggregator(Defense):
    """Updates -> one update. Subclass a family of :mod:`robustfl.aggregation.families` where one fits."""

    @final
    def __call__(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
    ) -> Any:
        """The aggregate of `updates` in the caller's own type; see :meth:`aggregate` for the rest of the answer."""
        return self.aggregate(updates, ids=ids, hostile=hostile, trusted=trusted).value

    @final
    def aggregate(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
    ) -> Aggregation:
        """Aggregate and say how.

        Parameters
        ----------
        updates : [n, d] array or tensor (in memory or a `np.memmap`); a list of arrays, of lists of arrays or of state
            dicts; a mapping from client id to any of these; or :class:`ColumnBlocks`. Never mutated.
        ids : client ids, one a row; stateful defenses remember clients by id, not by row
        hostile : what to do with rows that are missing, malformed, duplicate, not finite, or so large that a sum of
            `n` of them would overflow: `"reject"` them (each caught row lowers `f` by one) or `"raise"`
        trusted : an update in the form of the others that the server computed itself, such as on clean data of its
            own (or the peer, from its neighbours' point of view); for rules that measure the rows against one

        Raises
        ------
        UpdatesError : the input is no collection of updates (or has hostile rows, with `hostile="raise"`), or a rule
            that wants a trusted update got none, or one that is not finite
        InfeasibleError : fewer accepted rows than the rule's precondition asks for
        """
        answer, state = self._run(updates, ids, hostile, trusted)
        if state is not None:
            self._commit(state)
        return answer

    @final
    def preview(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
    ) -> Aggregation:
        """What :meth:`aggregate` would answer now, without any effect on the state."""
        return self._run(updates, ids, hostile, trusted)[0]

    def _run(
        self, updates: Any, ids: Iterable[Hashable] | None, hostile: Hostile, trusted: Any
    ) -> tuple[Aggregation, dict[str, Any] | None]:
        batch = read_updates(updates, ids)
        outcome, source = _answered(self, batch, hostile, trusted, _outcome)
        if not source.agreed(source.kernels.is_finite(outcome.value)):
            raise RobustflError(f"{self!r} produced a value that is not finite from {source.n} finite rows.")
        n, accepted = len(batch.ids), batch.callers_rows(source)
        weights = None
        if outcome.weights is not None:
            weights = np.zeros(n)
            weights[accepted] = outcome.weights
        rejected = np.ones(n, dtype=np.bool_)
        rejected[accepted] = False
        info = {**outcome.info, "ids": batch.ids, "reasons": dict(sorted(batch.rejected.items()))}
        kept = outcome.state is not None  # the caller may change the answer, but not what a rule remembers
        value = batch.restore(outcome.value, accepted, copy=kept)
        return Aggregation(value, weights, rejected, info), outcome.state

    def extra_points(self, source: Source) -> list[Array]:
        """Points [d] that the geometry should include beside the rows, such as the previous aggregate."""
        return []

    @abstractmethod
    def _aggregate(self, rows: Rows) -> Outcome:
        """The rule itself, over clean rows."""


def _outcome(rule: Defense, source: Source) -> Outcome:
    assert isinstance(rule, Aggregator)
    source.geometric = rule.geometric
    source.extras.extend(rule.extra_points(source))
    return rule._aggregate(Rows(source))


def _answered(
    defense: Defense, batch: Batch, hostile: Hostile, trusted: Any, work: Callable[[Defense, Source], T]
) -> tuple[T, Source]:
    """The work of a defense on the clean rows, and what was left to work on; hostile rows end up in the batch."""
    if hostile not in ("reject", "raise"):
        raise ParameterError(f"`hostile` should be 'reject' or 'raise'. Found hostile={hostile!r}.")
    source = batch.source()
    if defense.wants_trusted:
        source.trusted = _trusted(defense, batch, trusted)
    while True:
        rule = defense.with_fewer(len(batch.ids) - source.n)
        try:
            if hostile == "raise":
                source.verify()
                _refuse(defense, batch)
            if rule.infeasible(source.n) is not None:
                source.verify()  # hostile rows lower f, and with it the bound
                _require(rule, source.n, batch)
            result = work(rule, source)
            source.verify()  # for a rule that read nothing
            return result, source
        except HostileRows as found:
            for row, reason in found.reasons.items():
                batch.rejected[batch.callers_rows(source)[row]] = reason
            source = source.without(found.reasons)
            if hostile == "raise":
                _refuse(defense, batch)


def _trusted(defense: Defense, batch: Batch, update: Any) -> Array:
    """The server's own update as a vector; a fault in it is an error of the caller's, not of a client."""
    if update is None:
        raise UpdatesError(
            f"{defense!r} measures the rows against an update of the server's own. Pass it: `trusted=update`."
        )
    vector = batch.vector(update)
    if not bool((abs(vector) <= largest_magnitude(batch.layout.working, batch.reader.n, batch.reader.d)).all()):
        raise UpdatesError("`trusted` should be finite, and small enough to be summed. It is not.")
    return vector


def _refuse(defense: Defense, batch: Batch) -> None:
    if batch.rejected:
        listed = "; ".join(f"row {row}: {reason}" for row, reason in sorted(batch.rejected.items()))
        raise UpdatesError(f"{defense!r} was given hostile rows and told to raise. {listed}.")


def _require(rule: Defense, n: int, batch: Batch) -> None:
    reason = rule.infeasible(n)
    if reason is None:
        return
    lost = f" {len(batch.rejected)} of {len(batch.ids)} rows were rejected." if batch.rejected else ""
    remedy = "Lower f, use a rule with a weaker precondition, or collect more updates."
    raise InfeasibleError(f"{reason}{lost} {remedy}", rejected=len(batch.rejected))


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
    def rotation_equivariant(self) -> bool:
        return self.before.rotation_equivariant and self.rule.rotation_equivariant

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
    def rotation_equivariant(self) -> bool:
        return self.first.rotation_equivariant and self.then.rotation_equivariant

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
