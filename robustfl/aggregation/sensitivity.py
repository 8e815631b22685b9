"""How far one row can move an answer: what rules and pre-aggregations say about it, and how pipelines compose that.

Noise protects a row only in proportion to how far this row can move what is released. Two sets of rows are neighbours
if they differ in one row. A :class:`Change` says how two neighbours differ at some place in a pipeline: a
pre-aggregation carries a change of its rows over to a change of its new rows, and a rule turns it into a distance
between two answers, or into :class:`Unbounded` with the reason. All lengths are L2 norms.

>>> from robustfl.defenses import Median, NNM, TrimmedMean
>>> found = (NNM(f=2) >> TrimmedMean(f=2)).sensitivity_bound(n=11, clip=1.0)
>>> found.formula, round(found.value, 3)
('(2 clip (n - 1)/(n - f) + 2 clip)/(n - 2f)', 0.603)
>>> Median().sensitivity_bound(n=11, clip=1.0).reason
'median: two clusters of n/2, and the replaced row is the tie-breaker'
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from robustfl.privacy.releases import Relation

RELATIONS: Final[tuple[Relation, ...]] = ("add_or_remove", "replace_one")
"""The relations that rules know a sensitivity for: those of the accountant, whose module is too slow to import here."""

TIE: Final = "two clusters of n/2, and the replaced row is the tie-breaker"
"""Why there is no bound for rules that side with a majority: one row decides which cluster has it."""
JUMP: Final = "none is proved: which rows are selected jumps when a row moves"
"""Why none is known for rules that select rows by what all rows hold."""
MEMORY: Final = "its state carries rows of earlier rounds, without noise, into every later answer"
"""Why there is none for rules that remember what clients sent."""


@dataclass(frozen=True)
class Term:
    """A number together with the formula that it comes from."""

    value: float
    formula: str

    def over(self, divisor: float, formula: str) -> Term:
        """The quotient."""
        return Term(self.value / divisor, f"{_grouped(self.formula)}/{_grouped(formula)}")

    def times(self, factor: float, formula: str) -> Term:
        """The product; a number stands first, as in `2 clip`."""
        first, then = (formula, self.formula) if formula.isdigit() else (self.formula, formula)
        return Term(self.value * factor, f"{_grouped(first)} {_grouped(then)}")

    def plus(self, other: Term) -> Term:
        """The sum."""
        return Term(self.value + other.value, f"{self.formula} + {other.formula}")


@dataclass(frozen=True)
class Unbounded:
    """Why no useful bound is known."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """How the rows of two neighbours differ, in the worst case.

    Attributes
    ----------
    rows : the number of rows, which is the same for both
    length : no row of either is longer than this
    changed : how many rows differ at most
    moved : the sum, over all rows, of the distance between a row of one neighbour and the same row of the other
    cleared : whether the one row that differs is zero in one of the neighbours
    """

    rows: Term
    length: Term
    changed: int
    moved: Term
    cleared: bool = False

    @property
    def n(self) -> int:
        """The number of rows."""
        return int(self.rows.value)

    @property
    def farthest(self) -> Term:
        """How far apart two rows can be: twice the length."""
        return self.length.times(2, "2")

    def each(self, term: Term) -> Term:
        """The sum of a term over all rows that differ."""
        return term if self.changed == 1 else Term(term.value * self.changed, f"{self.changed} ({term.formula})")

    def capped(self, radius: float) -> Change:
        """The change after every row is scaled back to a given radius.

        That is the projection on a ball, which brings no two points further apart. A zero row stays zero.
        """
        length = Term(min(self.length.value, radius), f"min({self.length.formula}, radius)")
        reach = self.each(length if self.cleared else length.times(2, "2"))
        return replace(self, length=length, moved=reach if reach.value <= self.moved.value else self.moved)


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The largest distance between the answers to two neighbours, or why none is known.

    Attributes
    ----------
    value : the distance, in the unit of the rows, or None
    formula : how it is computed; empty without a value
    reason : why there is none; empty with a value
    public : what else goes into the answer and has to be public for the value to hold
    """

    value: float | None
    formula: str = ""
    reason: str = ""
    public: tuple[str, ...] = ()


def neighbours(n: int, clip: float, relation: Relation) -> Change:
    """The change between neighbours of n rows, of which each is clipped to the length `clip` (infinite: not clipped).

    Raises ParameterError for values that make no sense.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ParameterError(f"`n` should be a whole number of rows, n >= 1. Found n={n!r}.")
    if not clip > 0:
        raise ParameterError(f"`clip` should satisfy clip > 0. Found clip={clip!r}.")
    if relation not in RELATIONS:
        raise ParameterError(f"`relation` should be one of {RELATIONS}. Found relation={relation!r}.")
    length = Term(float(clip), "clip")
    cleared = relation == "add_or_remove"
    moved = length if cleared else length.times(2, "2")
    return Change(rows=Term(n, "n"), length=length, changed=1, moved=moved, cleared=cleared)


def concluded(moved: Term | Unbounded, clip: float, n: int, public: tuple[str, ...]) -> Sensitivity:
    """The bound, if it says more than that two clipped rows are at most ``2 clip`` apart."""
    if isinstance(moved, Unbounded):
        return Sensitivity(value=None, reason=moved.reason)
    if moved.value < 2 * clip and math.isfinite(moved.value):
        return Sensitivity(value=moved.value, formula=moved.formula, public=public)
    return Sensitivity(value=None, reason=f"{moved.formula} is not below 2 clip for n={n} and clip={clip:g}")


def _grouped(formula: str) -> str:
    """A formula in brackets, where a factor or a divisor would otherwise bind a part of it alone."""
    return f"({formula})" if any(sign in formula for sign in (" + ", " - ")) and not _enclosed(formula) else formula


def _enclosed(formula: str) -> bool:
    """Whether one pair of brackets, as in `ceil(n/size)`, holds all sums of the formula."""
    depth = 0
    for place, letter in enumerate(formula):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and formula[place : place + 3] in (" + ", " - "):
            return False
    return True
