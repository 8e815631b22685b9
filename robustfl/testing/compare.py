"""Whether two answers differ by more than rounding, and not only because of a tie."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from robustfl.aggregation.kernels.base import Floats

ROUNDING = 1e-6
"""Difference that iterative rules and reordered sums are allowed, relative to the largest number."""

NUDGE = 1e-3
"""Distance by which rows are moved to break ties, relative to their spread."""

Pair = Callable[[Floats], tuple[Floats, Floats, float]]
"""A function rows -> (found, expected, tolerance)."""


def difference(pair: Pair, x: Floats) -> tuple[Floats, Floats] | None:
    """The two answers (found, expected) if they differ, or None.

    A rule that picks rows may pick another one of two equally good rows after a change that should not matter. Such a
    tie is no error. So a difference counts only if it remains after each of three small moves of the rows.
    """
    found, expected, tolerance = pair(x)
    if close(found, expected, tolerance):
        return None
    for moved in nudged(x):
        if close(*pair(moved)):
            return None
    return found, expected


def close(found: Floats, expected: Floats, tolerance: float) -> bool:
    """Whether two answers have the same shape and differ by no more than `tolerance` in every entry."""
    return found.shape == expected.shape and bool((np.abs(found - expected) <= tolerance).all())


def nudged(x: Floats) -> Iterator[Floats]:
    """Three copies of the rows without ties: each entry is moved at random by up to a thousandth of the spread."""
    size = NUDGE * (spread(x) or extent(x) or 1.0)
    for number in range(3):
        yield x + size * np.random.default_rng(number).uniform(-1.0, 1.0, size=x.shape)


def extent(x: Floats) -> float:
    """The largest magnitude among the numbers."""
    return float(np.abs(x).max(initial=0.0))


def spread(x: Floats) -> float:
    """The largest difference between two rows in one column."""
    return float(np.ptp(x, axis=0).max(initial=0.0)) if len(x) else 0.0
