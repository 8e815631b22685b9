"""What every defense on the server promises, and the one path that every update takes through it.

``aggregator(updates)`` is final: convert -> refuse hostile rows -> check the precondition -> the rule -> check the
result -> restore the caller's type. Authors of rules write only mathematics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, final, get_args, overload

import numpy as np

from robustfl.aggregation.defense import Aggregation, Defense, Outcome
from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.updates.layout import Batch, exceeded, read_updates
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import HostileRows, Source, largest_magnitude
from robustfl.errors import ExceededError, InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

T = TypeVar("T")

Hostile = Literal["reject", "stop", "raise"]
"""What becomes of hostile rows: they are rejected; the same, and an error when more clients were caught than the
declared f; or an error whenever there is one."""


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
            `n` of them would overflow, and with all rows that share an id. `"reject"` leaves them out and keeps `f`;
            `"stop"` does the same, but raises when more clients were caught than the declared `f`, since then the
            declaration is wrong and the answer may be; `"raise"` raises whenever there is such a row
        trusted : an update in the form of the others that the server computed itself, such as on clean data of its
            own (or the peer, from its neighbours' point of view); for rules that measure the rows against one

        Rejected rows never lower `f`. A row that is missing or not finite may be that of an honest client that failed,
        and then all `f` malicious rows are still among the accepted ones. So the answer is that of the same rule to
        the accepted rows alone, with the guarantee of the rule, or an error where these are too few for it: a rule
        that needs ``n >= 2f + 1`` rows bears c rejected ones beside f malicious ones from ``n >= 2f + 1 + c`` on.

        `info["exceeded"]` says how many more clients were caught than the declared `f` (0 for rules that are told
        none). A client is caught when a row under its id was rejected for another reason than that it is missing.

        Raises
        ------
        UpdatesError : the input is no collection of updates (or has hostile rows, with `hostile="raise"`), or a rule
            that wants a trusted update got none, or one that is not finite
        InfeasibleError : fewer accepted rows than the rule's precondition asks for with the declared `f`
        ExceededError : more clients were caught than the declared `f`, with `hostile="stop"`
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
        info = {
            **outcome.info,
            "ids": batch.ids,
            "reasons": dict(sorted(batch.rejected.items())),
            "exceeded": exceeded(batch.ids, batch.rejected, self.byzantine),
        }
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
    require_policy(hostile)
    source = batch.source()
    if defense.wants_trusted:
        source.trusted = _trusted(defense, batch, trusted)
    while True:
        try:
            if hostile == "raise" or defense.infeasible(source.n) is not None:
                source.verify()  # the error should name all hostile rows
            judge(defense, batch.ids, batch.rejected, hostile)
            _require(defense, source.n, batch)
            result = work(defense, source)
            source.verify()  # for a rule that read nothing
            return result, source
        except HostileRows as found:
            for row, reason in found.reasons.items():
                batch.rejected[batch.callers_rows(source)[row]] = reason
            source = source.without(found.reasons)


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


def require_policy(hostile: str) -> None:
    """Raise ParameterError for a word that says nothing about hostile rows."""
    if hostile not in get_args(Hostile):
        raise ParameterError(f"`hostile` should be 'reject', 'stop' or 'raise'. Found hostile={hostile!r}.")


def judge(defense: Defense, ids: tuple[Hashable, ...], rejected: dict[int, str], hostile: Hostile) -> None:
    """Raise where the caller wants no answer beside so many rejected rows."""
    if not rejected or hostile == "reject":
        return
    listed = "; ".join(f"row {row}: {reason}" for row, reason in sorted(rejected.items()))
    if hostile == "raise":
        raise UpdatesError(f"{defense!r} was given hostile rows and told to raise. {listed}.")
    more = exceeded(ids, rejected, defense.byzantine)
    if more:
        declared = defense.byzantine or 0
        raise ExceededError(
            f"{defense!r} was told to stop when more clients are caught than f={declared}. Found {declared + more}. "
            f"{listed}. Declare a larger f, or find out what is wrong with these clients."
        )


def _require(defense: Defense, n: int, batch: Batch) -> None:
    reason = defense.infeasible(n)
    if reason is None:
        return
    lost = ""
    if batch.rejected:
        lost = f" {len(batch.rejected)} of {len(batch.ids)} rows were rejected, which does not lower f."
    raise InfeasibleError(f"{reason}{lost} Lower f, use a rule with a weaker precondition, or collect more updates.")


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
    def stages(self) -> tuple[Defense, ...]:
        return *self.before.stages, *self.rule.stages

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
    def stages(self) -> tuple[Defense, ...]:
        return *self.first.stages, *self.then.stages

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
