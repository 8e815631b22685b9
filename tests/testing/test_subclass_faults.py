"""The kit finds the faults of rules that are written against robustfl's own contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, CoordinateWise, Gram, GramAggregator, Outcome, PreAggregation, Rows
from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.components import ByzantineCount
from tests.testing.finding import fault


@dataclass(frozen=True, kw_only=True)
class FirstRow(GramAggregator):
    """All weight on the first row."""

    requires: ClassVar[tuple[int, int]] = (0, 1)

    def weights(self, gram: Gram) -> Floats:
        weights = np.zeros(gram.n)
        weights[0] = 1.0
        return weights


@dataclass(frozen=True, kw_only=True)
class Trimmed(CoordinateWise):
    """The mean of a slice that is empty for f=0."""

    f: ByzantineCount

    def columns(self, block: Array, ops: Kernels) -> Array:
        ordered = np.sort(block, axis=0)[self.f : -self.f]
        return ordered.sum(axis=0) / max(len(ordered), 1)


@dataclass(frozen=True, kw_only=True)
class OverConfident(CoordinateWise):
    """The median, which says that a row moves it no further than a mean."""

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.median(block)

    def moved(self, change: Change) -> Term:
        return change.moved.over(change.n, "n")


@dataclass(frozen=True, kw_only=True)
class BoundTooLow(CoordinateWise):
    """Demands one row more than it says."""

    f: ByzantineCount

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return None if n >= 2 * self.f + 1 else "too few"

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.median(block)


@dataclass(frozen=True, kw_only=True)
class Overwrites(CoordinateWise):
    """Sorts the caller's own rows."""

    def columns(self, block: Array, ops: Kernels) -> Array:
        block.sort(axis=0)
        return block[len(block) // 2]


@dataclass(frozen=True, kw_only=True)
class Undeclared(GramAggregator):
    """Remembers how often it was asked, outside of its state."""

    requires: ClassVar[tuple[int, int]] = (0, 1)
    calls: ClassVar[list[int]] = []

    def weights(self, gram: Gram) -> Floats:
        self.calls.append(1)
        weights = 1.0 + np.arange(gram.n) * len(self.calls)
        normalised: Floats = weights / weights.sum()
        return normalised


@dataclass(frozen=True, kw_only=True)
class Total(Aggregator):
    """The sum of the means so far."""

    requires: ClassVar[tuple[int, int]] = (0, 1)
    state_keys: ClassVar[tuple[str, ...]] = ("total",)

    def _aggregate(self, rows: Rows) -> Outcome:
        total = np.asarray(rows.materialised()).mean(axis=0) + self._state.get("total", 0.0)
        return Outcome(total.copy(), state={"total": total})


@dataclass(frozen=True, kw_only=True)
class SharedTotal(Total):
    """Hands out its memory itself, and goes on writing into it."""

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def _commit(self, state: dict[str, Any]) -> None:
        if "total" in state and "total" in self._state:
            self._state["total"][:] = state["total"]
        else:
            super()._commit(state)


@dataclass(frozen=True, kw_only=True)
class HastyTotal(Total):
    """Remembers while it computes, and so also what it was only asked to look at."""

    def _aggregate(self, rows: Rows) -> Outcome:
        outcome = super()._aggregate(rows)
        self._state.update(outcome.state or {})
        return outcome


@dataclass(frozen=True, kw_only=True)
class StubbornTotal(Total):
    """Does not forget."""

    def reset(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Forgetful(GramAggregator):
    """Reads a parameter that its text does not show."""

    requires: ClassVar[tuple[int, int]] = (0, 1)
    share: Annotated[float, Ge(0), Doc("weight of the first row")] = 0.0

    def __repr__(self) -> str:
        return "Forgetful()"

    def parameters(self) -> dict[str, Any]:
        return {}

    def weights(self, gram: Gram) -> Floats:
        weights = np.full(gram.n, 1.0)
        weights[0] += self.share
        normalised: Floats = weights / weights.sum()
        return normalised


def local_class() -> Aggregator:
    @dataclass(frozen=True, kw_only=True)
    class Local(CoordinateWise):
        """A class that pickle cannot find."""

        def columns(self, block: Array, ops: Kernels) -> Array:
            return ops.median(block)

    return Local()


@dataclass(frozen=True, kw_only=True)
class TurningMedian(CoordinateWise):
    """Says that only products between rows matter to it."""

    @property
    def rotation_equivariant(self) -> bool:
        return True

    def columns(self, block: Array, ops: Kernels) -> Array:
        return ops.median(block)


@dataclass(frozen=True, kw_only=True)
class LowersF(Aggregator):
    """A trimmed mean that takes every rejected row for one of the f."""

    f: ByzantineCount

    def _aggregate(self, rows: Rows) -> Outcome:
        left = max(self.f - (rows.source.reader.n - rows.n), 0)
        return Outcome(rows.columnwise(lambda block, ops: ops.trimmed_mean(block, left)))


@dataclass(frozen=True, kw_only=True)
class Partial(GramAggregator):
    """All weight on the client of the lowest id."""

    requires: ClassVar[tuple[int, int]] = (0, 1)

    def weights(self, gram: Gram) -> Floats:
        return np.array([float(name == min(gram.ids)) for name in gram.ids])  # type: ignore[type-var]  # all numbers


@dataclass(frozen=True, kw_only=True)
class Grudge(Aggregator):
    """The mean, without the client that came first in the first round."""

    requires: ClassVar[tuple[int, int]] = (0, 2)
    state_keys: ClassVar[tuple[str, ...]] = ("bad",)

    def _aggregate(self, rows: Rows) -> Outcome:
        bad = self._state.get("bad")
        weights = np.array([float(name != bad) for name in rows.source.ids])
        weights /= weights.sum()
        return Outcome(rows.combine(weights), weights, state={"bad": rows.source.ids[0] if bad is None else bad})


SUBCLASSES: dict[str, tuple[Aggregator | PreAggregation, str, str]] = {
    "order": (FirstRow(), "permutation", "in another order"),
    "whoever comes first": (FirstRow(), "arrival", "the same clients in another order"),
    "whoever came first once": (Grudge(), "reunion", "in the second round the same clients"),
    "one client counts": (Partial(), "names", "other ids give another answer"),
    "sensitivity of another rule": (OverConfident(), "sensitivity", "is declared for n=3, clip=1"),
    "rejected rows lower f": (LowersF(f=1), "f_kept", "is not that of the same rule to the accepted rows alone"),
    "f=0": (Trimmed(f=1), "f_zero", "with f=0, equal rows do not come back"),
    "an error without numbers": (BoundTooLow(f=1), "bounds", "does not name n=2 and f"),
    "a memory outside the state": (Undeclared(), "repeatable", "answers differently"),
    "a state that is shared": (SharedTotal(), "state", "saved state changes with later calls"),
    "a look ahead that is remembered": (HastyTotal(), "state", "preview changes the state"),
    "a reset that does nothing": (StubbornTotal(), "state", "after reset"),
    "a parameter that is not told": (Forgetful(share=0.5), "text", "is not equal to it"),
    "a class that cannot be pickled": (local_class(), "pickling", "cannot be pickled"),
    "a rule of columns that says it is rotation equivariant": (TurningMedian(), "rotation", "turned rows do not give"),
    "rows that are sorted in place": (Overwrites(), "mutation", "the rows were changed"),
}


@pytest.mark.parametrize("label", SUBCLASSES)
def test_a_fault_of_a_subclass_is_found(label: str) -> None:
    rule, name, words = SUBCLASSES[label]
    finding = fault(rule, name)
    assert words in finding.reason
    assert len(finding.counterexample) < 400
