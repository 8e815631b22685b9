"""What every defense on the server promises, and the one path that every update takes through it.

``aggregator(updates)`` cannot be overridden. It converts the updates, refuses hostile rows, checks the precondition,
calls the rule, checks the result, and restores the caller's type. Authors of rules write only mathematics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final, overload

from robustfl.aggregation.answering import long_answer, short_answer
from robustfl.aggregation.defense import Aggregation, Defense, Outcome, without_mechanism
from robustfl.aggregation.hostile import Hostile, answered
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.memory import holds_tensors
from robustfl.aggregation.parts import commit_parts, infeasible_parts, most
from robustfl.aggregation.sensitivity import Change, Sensitivity, Term, Unbounded, concluded, neighbours
from robustfl.aggregation.updates.layout import read_updates
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import Source

if TYPE_CHECKING:
    from robustfl.privacy.releases import Relation


@dataclass(frozen=True, kw_only=True)
class PreAggregation(Defense):
    """Updates -> updates; composes with `>>`. Subclass :class:`RowMap` if each new row is a weighted sum of rows."""

    family: ClassVar[str] = "pre-aggregation"

    @abstractmethod
    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        """The pre-aggregated rows, and the state after this call (None: unchanged)."""

    def carried(self, change: Change) -> Change | Unbounded:
        """How the new rows of two neighbours differ, whose rows differ by `change`; see `Aggregator.sensitivity`."""
        return self.unknown()

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
            return Pipeline(before=self, rule=without_mechanism(then, self))
        if isinstance(then, PreAggregation):
            return Chain(first=self, then=then)
        return NotImplemented

    @final
    def __call__(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        beside: Iterable[str] | None = None,
    ) -> Any:
        """The pre-aggregated updates in the caller's own type: stacked if the input is stacked, else a list."""

        def made(rule: Defense, source: Source) -> tuple[Array, Floats | None, dict[str, Any] | None]:
            assert isinstance(rule, PreAggregation)
            source.geometric = rule.geometric
            rows, state = rule.apply(Rows(source))
            result = rows.materialised()
            source.agreed(True)  # failures are exchanged at meetings; this is the last one
            return result, rows.mixing, state

        batch = read_updates(updates, ids, beside)
        (result, mixing, state), source = answered(self, batch, hostile, None, made)
        value = batch.restore_rows(result, batch.callers_rows(source), mixing)
        if state is not None:
            self._commit(state)
            self.answers_in(holds_tensors(value))
        return value


@dataclass(frozen=True, kw_only=True)
class Aggregator(Defense):
    """Updates -> one update. Subclass a family of :mod:`robustfl.aggregation.families` if one fits."""

    @final
    def __call__(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
        beside: Iterable[str] | None = None,
        relative_to: Any = None,
    ) -> Any:
        """The aggregate of `updates` in the caller's own type; :meth:`aggregate` returns the full answer."""
        more = {"beside": beside, "relative_to": relative_to}
        return self.aggregate(updates, ids=ids, hostile=hostile, trusted=trusted, **more).value

    @final
    def aggregate(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
        beside: Iterable[str] | None = None,
        relative_to: Any = None,
    ) -> Aggregation:
        """Aggregate, and return the aggregate with the weights, the rejected rows and other information.

        Rejected rows never lower `f`. A row that is missing or not finite may come from an honest client that failed,
        and then all `f` malicious rows are still among the accepted ones. The answer is therefore the answer of the
        rule to the accepted rows alone, with the guarantee of the rule, or an error if these rows are too few for it. A
        rule that needs ``n >= 2f + 1`` rows tolerates c rejected rows in addition to f malicious ones if
        ``n >= 2f + 1 + c``.

        `info["exceeded"]` says by how many the clients that were caught exceed the declared `f` (0 for rules without
        `f`). A client is caught when a row under its id was rejected for any reason except that it is missing.

        Parameters
        ----------
        updates : [n, d] array or tensor (in memory or a `np.memmap`); a list of arrays, of lists of arrays or of state
            dicts; a mapping from client id to any of these; or :class:`ColumnBlocks`. Never mutated.
        ids : client ids, one per row; stateful defenses remember clients by id, not by row
        hostile : what to do with rows that are missing, malformed, duplicate, not finite, or so large that a sum of
            `n` of them would overflow, and with all rows that share an id. `"reject"` leaves them out and keeps `f`;
            `"stop"` does the same, but raises when more clients were caught than the declared `f`, because then the
            declaration is wrong and the answer may be wrong too; `"raise"` raises whenever there is such a row
        trusted : an update, in the form of the others, that the server computed itself, for example on its own clean
            data (a peer gives its own update); for rules that compare the rows with such an update
        beside : patterns of names such as ``"*.ema"``; leaves of state dicts that match stand beside the geometry, as
            integers do. By default the running statistics of normalisation layers do; ``()`` puts them back. Each is
            aggregated by columns, with the weights that the rule gave the rows: `info["beside"]` says which, and how
        relative_to : the model that clients started from, where `updates` (and `trusted`) are whole models. It is
            subtracted while they are read; the answer is a difference to it, but integers are medians of the rows' own

        Raises
        ------
        UpdatesError : the input is not a collection of updates (or has hostile rows, with `hostile="raise"`), or a rule
            that wants a trusted update got none, or one that is not finite
        InfeasibleError : there are fewer accepted rows than the rule's precondition requires with the declared `f`
        ExceededError : more clients were caught than the declared `f`, with `hostile="stop"`
        """
        answer, state = self._run(updates, ids, hostile, trusted, beside, relative_to)
        if state is not None:
            self._commit(state)
            self.answers_in(holds_tensors(answer.value))
        return answer

    @final
    def preview(
        self,
        updates: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        hostile: Hostile = "reject",
        trusted: Any = None,
        beside: Iterable[str] | None = None,
        relative_to: Any = None,
    ) -> Aggregation:
        """The answer that :meth:`aggregate` would give now, without any effect on the state."""
        return self._run(updates, ids, hostile, trusted, beside, relative_to)[0]

    @final
    def sensitivity(self, n: int, clip: float, *, relation: Relation = "replace_one") -> float | None:
        """How far one of `n` rows can move the answer, each row clipped to the length `clip`; None if nobody knows.

        Formula: ``max ||A(X) - A(X')||`` over all X and X' of n rows no longer than `clip` that differ in one row, or
        an upper bound of it. With ``relation="add_or_remove"`` that row is zero in one of them: n is public, and who is
        absent counts as a zero row. Units: those of the rows. Cost: none, as no rows are read. Rules with a length of
        their own, such as a radius, have a value that is not proportional to `clip`: ask with the clip that is used.

        None means that no bound below ``2 clip`` is known that falls as n grows. Noise in proportion to ``2 clip`` is
        that of a single row, so nothing would be gained by aggregation; :meth:`sensitivity_bound` gives the reason.

        The value is a proof about n accepted rows. A row that is *refused* (not finite, missing, a second row of the
        same id) leaves n - 1 of them, and everybody else then moves the answer further than it says. Whoever relies on
        the value puts a zero row in the place of each row that is absent or not finite before the rule is asked.

        Examples
        --------
        >>> from robustfl.defenses import Krum, TrimmedMean
        >>> round(TrimmedMean(f=2).sensitivity(n=11, clip=1.0), 4)
        0.2857
        >>> round(TrimmedMean(f=2).sensitivity(n=11, clip=1.0, relation="add_or_remove"), 4)
        0.1429
        >>> Krum(f=2).sensitivity(n=11, clip=1.0) is None
        True

        Raises
        ------
        ParameterError : n is not a whole number of at least 1, clip is not positive, or the relation is unknown
        """
        return self.sensitivity_bound(n, clip, relation=relation).value

    @final
    def sensitivity_bound(self, n: int, clip: float, *, relation: Relation = "replace_one") -> Sensitivity:
        """The value of :meth:`sensitivity` with its formula and what it takes to be public, or why there is none."""
        change = neighbours(n, clip, relation)
        lacking = self.infeasible(n)
        moved = Unbounded(lacking) if lacking is not None else self.moved(change)
        public = tuple(part.public_inputs for part in self.stages if part.public_inputs)
        return concluded(moved, clip, n, public)

    def moved(self, change: Change) -> Term | Unbounded:
        """How far apart the answers to two neighbours are at most, whose rows differ by `change`.

        Override it together with a proof in the docstring of the class; without one, `no_sensitivity` is the reason.
        """
        return self.unknown()

    def _run(
        self,
        updates: Any,
        ids: Iterable[Hashable] | None,
        hostile: Hostile,
        trusted: Any,
        beside: Iterable[str] | None,
        relative_to: Any,
    ) -> tuple[Aggregation, dict[str, Any] | None]:
        if trusted is None and beside is None and relative_to is None:
            answer = short_answer(self, updates, ids, hostile, _outcome)
            if answer is not None:
                return answer
        return long_answer(self, read_updates(updates, ids, beside, relative_to), hostile, trusted, _outcome)

    def extra_points(self, source: Source) -> list[Array]:
        """Points [d] that the geometry should include in addition to the rows, such as the previous aggregate."""
        return []

    @abstractmethod
    def _aggregate(self, rows: Rows) -> Outcome:
        """Apply the rule itself to clean rows."""


def _outcome(rule: Defense, source: Source) -> Outcome:
    assert isinstance(rule, Aggregator)
    source.geometric = rule.geometric
    source.extras.extend(rule.extra_points(source))
    return rule._aggregate(Rows(source))


@dataclass(frozen=True, kw_only=True, repr=False)
class Pipeline(Aggregator):
    """A pre-aggregation followed by an aggregator, as one aggregator: `NNM(f=2) >> TrimmedMean(f=2)`."""

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
    def channel(self) -> str:  # type: ignore[override]  # a pipeline takes it from its rule
        """The channel of the rule: a pre-aggregation does not change what clients send and get."""
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
        return most(self.before, self.rule)

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return infeasible_parts(self.before, self.rule, n, f)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before.state_dict(), "rule": self.rule.state_dict()}

    def _commit(self, state: dict[str, Any]) -> None:
        commit_parts(state, before=self.before, rule=self.rule)

    def released(self, value: Array) -> None:
        self.rule.released(value)

    def shaped(self, columns: Mapping[str, int]) -> None:
        self.rule.shaped(columns)

    def extra_points(self, source: Source) -> list[Array]:
        return self.rule.extra_points(source)

    def moved(self, change: Change) -> Term | Unbounded:
        """A replaced row changes the rows that the rule gets, and these move its answer."""
        carried = self.before.carried(change)
        return carried if isinstance(carried, Unbounded) else self.rule.moved(carried)

    def _aggregate(self, rows: Rows) -> Outcome:
        mixed, before = self.before.apply(rows)
        outcome = self.rule._aggregate(mixed)
        state = {"before": before, "rule": outcome.state}
        return Outcome(outcome.value, outcome.weights, outcome.info, state, outcome.layers)


@dataclass(frozen=True, kw_only=True, repr=False)
class Chain(PreAggregation):
    """Two pre-aggregations, one after the other, as one pre-aggregation."""

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
        return most(self.first, self.then)

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return infeasible_parts(self.first, self.then, n, f)

    def output_rows(self, n: int) -> int:
        return self.then.output_rows(self.first.output_rows(n))

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first.state_dict(), "then": self.then.state_dict()}

    def carried(self, change: Change) -> Change | Unbounded:
        """The change that the second part makes of that of the first."""
        between = self.first.carried(change)
        return between if isinstance(between, Unbounded) else self.then.carried(between)

    def _commit(self, state: dict[str, Any]) -> None:
        commit_parts(state, first=self.first, then=self.then)

    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        inner, first = self.first.apply(rows)
        outer, then = self.then.apply(inner)
        return outer, {"first": first, "then": then}
