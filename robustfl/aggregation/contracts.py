"""What every defense on the server promises, and the one path that every update takes through it.

``aggregator(updates)`` is final: convert -> refuse hostile rows -> check the precondition -> the rule -> check the
result -> restore the caller's type. Authors of rules write only mathematics.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, final, overload

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels import Array, Floats
from robustfl.aggregation.layout import Batch, read_updates
from robustfl.aggregation.rows import Rows
from robustfl.aggregation.source import HostileRows, Source, largest_magnitude
from robustfl.components import Component
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

if TYPE_CHECKING:
    from robustfl.aggregation.families import Chain, Pipeline

T = TypeVar("T")

Hostile = Literal["reject", "raise"]


@dataclass(frozen=True)
class Aggregation:
    """The full answer of an aggregation.

    Attributes
    ----------
    value : the aggregate, in the caller's own type
    weights : [n] share of each row in the aggregate, or None when the rule is no weighted sum of rows; what is missing
        to 1 was clipped away or stayed with the rule's own point, such as the center of centered clipping
    rejected : bool [n], rows that were refused before the rule saw them
    info : `reasons` (row -> why it was refused), `ids`, and what the rule has to tell
    """

    value: Any
    weights: Floats | None
    rejected: NDArray[np.bool_]
    info: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a rule hands back to the base class: flat values over the accepted rows."""

    value: Array
    weights: Floats | None = None
    info: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Defense(Component, ABC):
    """Common to aggregators and pre-aggregations: metadata, preconditions and state.

    Class attributes read by the runner, the documentation and the tests: `requires` = (a, b) for the precondition
    `n >= a f + b`; `family`, how the rule works; `guarantee`, one line; `breakdown`, the largest tolerated share of
    Byzantine rows, as text; `state_keys`, the entries of :meth:`state_dict`.
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = ""
    breakdown: ClassVar[str] = ""
    channel: ClassVar[str] = "dense"
    family: ClassVar[str] = "other"
    state_keys: ClassVar[tuple[str, ...]] = ()

    _state: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def stateful(self) -> bool:
        """Whether the answer depends on earlier calls."""
        return bool(self.state_keys)

    @property
    def unclaimed(self) -> frozenset[str]:
        """Names of the properties in :mod:`robustfl.testing` that this defense does not promise."""
        return frozenset()

    @property
    def wants_trusted(self) -> bool:
        """Whether it needs an update that the server itself computed."""
        return False

    @property
    def geometric(self) -> bool:
        """Whether it asks for distances or products between rows; norms that are wanted first then come with them."""
        return False

    @property
    def rotates(self) -> bool:
        """Whether rows that are turned in space give the answer turned: only products between rows matter to it.

        Its answer to combinations of a few vectors can then be had in as many dimensions as there are vectors.
        """
        return False

    @property
    def byzantine(self) -> int | None:
        """The declared number of Byzantine rows, or None for rules that are not told."""
        value = getattr(self, "f", None)
        return None if value is None else int(value)

    def precondition(self) -> tuple[int, int]:
        """(a, b) of `n >= a f + b` for these hyper-parameters; the class attribute `requires` unless overridden."""
        return self.requires

    def output_rows(self, n: int) -> int:
        """How many rows a pre-aggregation makes of `n`; an aggregator is at the end of the line."""
        return n

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        """Why `n` rows of which `f` may be Byzantine are too few, or None. `f` defaults to the declared one."""
        count = self.byzantine if self.byzantine is not None else (f or 0)
        a, b = self.precondition()
        if n >= max(a * count + b, 1):
            return None
        bound = f"{a}f + {b}" if a else str(b)
        return f"{type(self).__name__} needs n >= {bound} rows. Found n={n}, f={count}."

    def state_dict(self) -> dict[str, Any]:
        """The state as a dictionary of copies; empty before the first call and for stateless defenses."""
        return copy.deepcopy(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned; a state that does not fit changes nothing."""
        unknown = set(state) - set(self.state_keys)
        if unknown:
            known = ", ".join(self.state_keys) or "none, it is stateless"
            raise StateError(f"{type(self).__name__} has no state {sorted(unknown)}. Its state: {known}.")
        current = self.state_dict()
        try:
            self._commit(copy.deepcopy(state))
        except StateError:
            self._commit(current)
            raise

    def reset(self) -> None:
        """Forget everything learnt from earlier calls."""
        self._commit({})

    def _commit(self, state: dict[str, Any]) -> None:
        self._state.clear()
        self._state.update(state)

    def with_fewer(self, dropped: int) -> Defense:
        """The same defense after `dropped` Byzantine rows were caught: `f` falls by as many; the state is shared."""
        if not dropped or not self.byzantine:
            return self
        reduced = copy.copy(self)
        object.__setattr__(reduced, "f", max(0, self.byzantine - dropped))
        return reduced


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
        from robustfl.aggregation.families import Chain, Pipeline

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
    raise InfeasibleError(f"{reason}{lost} Lower f, use a rule with a weaker precondition, or collect more updates.")
