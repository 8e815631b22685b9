"""What a row of the table of rules holds; the rows themselves are in `cases.py` and the modules that it collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robustfl.aggregation import Aggregator
from tests.aggregation.oracles import Oracle


def at_least(a: int, b: int) -> Callable[[int], int]:
    """f -> a f + b rows."""
    return lambda f: a * f + b


MAJORITY = at_least(2, 1)


@dataclass(frozen=True)
class Case:
    """One rule, and what holds for it."""

    name: str
    make: Callable[[int], Aggregator]  # f -> the rule
    oracle: Oracle
    least: Callable[[int], int]  # f -> smallest n that the rule accepts
    told: bool = True  # whether the rule is told f
    permutation: bool = True
    translation: bool = True
    scaling: bool = True
    rotation: bool = True
    box: bool = True  # the result lies between the smallest and the largest value of every coordinate
    consensus: bool = True  # equal rows are their own aggregate
    signed: bool = False  # rows may count against their own direction, with negative weights
    stretching: bool = False  # rows may get longer, so that weights may sum to more than 1
    robust_from: Callable[[int], int] | None = MAJORITY  # f -> rows that bound f of any size; None: one breaks it
    tolerance: float = 1e-9  # against the oracle, in units of the spread
