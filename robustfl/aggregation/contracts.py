"""What every defense on the server promises, and the one path that every update takes through it.

``aggregator(updates)`` is final: convert -> refuse hostile rows -> check the precondition -> the rule -> check the
result -> restore the caller's type. Authors of rules write only mathematics.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final, overload

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels import Array, Floats, kernels_for
from robustfl.aggregation.layout import Batch, read_updates
from robustfl.aggregation.rows import Rows, Source
from robustfl.components import Component
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

if TYPE_CHECKING:
    from robustfl.aggregation.families import Chain, Pipeline

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
    `n >= a f + b`; `guarantee`, one line; `breakdown`, the largest tolerated share of Byzantine rows, as text;
    `state_keys`, the entries of :meth:`state_dict`.
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = ""
    breakdown: ClassVar[str] = ""
    channel: ClassVar[str] = "dense"
    state_keys: ClassVar[tuple[str, ...]] = ()

    _state: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def stateful(self) -> bool:
        """Whether the answer depends on earlier calls."""
        return bool(self.state_keys)

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
    """Updates -> updates, as a linear map of the rows; composes with `>>`."""

    @abstractmethod
    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        """The map [m, n] for these rows, and the state after this call (None: unchanged)."""

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
        batch, source, accepted = _prepare(self, updates, ids, hostile)
        rule = self.with_fewer(len(batch.ids) - len(accepted))
        _require(rule, len(accepted), batch)
        assert isinstance(rule, PreAggregation)
        rows = Rows(source)
        matrix, state = rule.matrix(rows)
        result = rows.mixed(matrix).materialised()
        if state is not None:
            self._commit(state)
        return batch.restore_rows(result, accepted)


@dataclass(frozen=True, kw_only=True)
class Aggregator(Defense):
    """Updates -> one update. Subclass a family of :mod:`robustfl.aggregation.families` where one fits."""

    @final
    def __call__(self, updates: Any, *, ids: Iterable[Hashable] | None = None, hostile: Hostile = "reject") -> Any:
        """The aggregate of `updates` in the caller's own type; see :meth:`aggregate` for the rest of the answer."""
        return self.aggregate(updates, ids=ids, hostile=hostile).value

    @final
    def aggregate(
        self, updates: Any, *, ids: Iterable[Hashable] | None = None, hostile: Hostile = "reject"
    ) -> Aggregation:
        """Aggregate and say how.

        Parameters
        ----------
        updates : [n, d] array or tensor; a list of arrays, of lists of arrays or of state dicts; or a mapping from
            client id to any of these. Never mutated.
        ids : client ids, one a row; stateful defenses remember clients by id, not by row
        hostile : what to do with rows that are missing, malformed, duplicate, not finite, or so large that a sum of
            `n` of them would overflow: `"reject"` them (each caught row lowers `f` by one) or `"raise"`

        Raises
        ------
        UpdatesError : the input is no collection of updates (or has hostile rows, with `hostile="raise"`)
        InfeasibleError : fewer accepted rows than the rule's precondition asks for
        """
        answer, state = self._run(updates, ids, hostile)
        if state is not None:
            self._commit(state)
        return answer

    @final
    def preview(
        self, updates: Any, *, ids: Iterable[Hashable] | None = None, hostile: Hostile = "reject"
    ) -> Aggregation:
        """What :meth:`aggregate` would answer now, without any effect on the state."""
        return self._run(updates, ids, hostile)[0]

    def _run(
        self, updates: Any, ids: Iterable[Hashable] | None, hostile: Hostile
    ) -> tuple[Aggregation, dict[str, Any] | None]:
        batch, source, accepted = _prepare(self, updates, ids, hostile)
        n, caught = len(batch.ids), len(batch.ids) - len(accepted)
        rule = self.with_fewer(caught)
        assert isinstance(rule, Aggregator)
        _require(rule, len(accepted), batch)
        source.extras.extend(rule.extra_points(source))
        outcome = rule._aggregate(Rows(source))
        if not source.kernels.is_finite(outcome.value):
            raise RobustflError(f"{self!r} produced a value that is not finite from {len(accepted)} finite rows.")
        weights = None
        if outcome.weights is not None:
            weights = np.zeros(n)
            weights[accepted] = outcome.weights
        rejected = np.ones(n, dtype=np.bool_)
        rejected[accepted] = False
        info = {**outcome.info, "ids": batch.ids, "reasons": dict(sorted(batch.rejected.items()))}
        return Aggregation(batch.restore(outcome.value, accepted), weights, rejected, info), outcome.state

    def extra_points(self, source: Source) -> list[Array]:
        """Points [d] that the geometry should include beside the rows, such as the previous aggregate."""
        return []

    @abstractmethod
    def _aggregate(self, rows: Rows) -> Outcome:
        """The rule itself, over clean rows."""


def _prepare(
    defense: Defense, updates: Any, ids: Iterable[Hashable] | None, hostile: Hostile
) -> tuple[Batch, Source, list[int]]:
    """Read the updates and refuse hostile rows: the clean source and the caller's positions of its rows."""
    if hostile not in ("reject", "raise"):
        raise ParameterError(f"`hostile` should be 'reject' or 'raise'. Found hostile={hostile!r}.")
    batch = read_updates(updates, ids)
    kernels = kernels_for(batch.matrix)
    peak, squared_norms = kernels.row_extent(batch.matrix)
    limit = largest_magnitude(batch.layout.working, *batch.matrix.shape)
    clean = [position for position in range(len(peak)) if peak[position] <= limit]
    for position in sorted(set(range(len(peak))) - set(clean)):
        finite = np.isfinite(peak[position])
        batch.rejected[batch.readable[position]] = "too large to sum" if finite else "not finite"
    if batch.rejected and hostile == "raise":
        listed = "; ".join(f"row {row}: {reason}" for row, reason in sorted(batch.rejected.items()))
        raise UpdatesError(f"{defense!r} was given hostile rows and told to raise. {listed}.")
    everything = len(clean) == len(peak)
    matrix = batch.matrix if everything else kernels.take(batch.matrix, clean)
    accepted = [batch.readable[position] for position in clean]
    names = tuple(batch.ids[row] for row in accepted)
    return batch, Source(matrix, names, squared_norms[clean]), accepted


def largest_magnitude(working: str, n: int, d: int) -> float:
    """Entries beyond this are hostile: sums of `n` rows, or squared norms in float64, could overflow.

    float32 sums are the limit for float32 rows (their squares are summed in float64); squares for float64 rows.
    """
    if working == "float32":
        return float(np.finfo(np.float32).max) / (4 * n)
    return float(np.sqrt(np.finfo(np.float64).max / (16.0 * n * d)))


def _require(rule: Defense, n: int, batch: Batch) -> None:
    reason = rule.infeasible(n)
    if reason is None:
        return
    lost = f" {len(batch.rejected)} of {len(batch.ids)} rows were rejected." if batch.rejected else ""
    raise InfeasibleError(f"{reason}{lost} Lower f, use a rule with a weaker precondition, or collect more updates.")
