"""Searches for the malicious vector that harms most: over lines of candidates, and along one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from robustfl.threats.updates.probing import Probe

if TYPE_CHECKING:
    from torch import Tensor

NEAREST, FARTHEST = 0.05, 50.0
"""The grid of a line, in lengths of its direction; 0 comes with it."""

REFINED = 5 / 19
"""Share of a line's candidates that are spent around the best one of the grid."""


class SearchLine(NamedTuple):
    """Candidates ``base + tau direction``, by the names of a probe's vectors; the base alone without a direction."""

    base: str
    direction: str | None = None

    def at(self, tau: float, vectors: dict[str, Tensor]) -> Tensor:
        """The candidate at `tau`."""
        base = vectors[self.base]
        return base.clone() if self.direction is None or not tau else base + tau * vectors[self.direction]


class Found(NamedTuple):
    """The candidate that harms most, and how much in the units of the objective."""

    line: SearchLine
    tau: float
    harm: float


def worst_of(probe: Probe, lines: Sequence[SearchLine], harm: Callable[[Tensor], float], candidates: int) -> Found:
    """The most harmful of `candidates` points on every line: a geometric grid first, then around its best point.

    `harm` maps the defense's answer [k] to a number; an answer that is not finite is the greatest harm. Ties go to the
    earlier candidate.
    """
    found = []
    for line in lines:
        grid, refined = _budget(line, candidates)
        tried = {tau: harm_at(probe, line, tau, harm) for tau in grid}
        place = grid.index(_first_best(tried))
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        tried |= {tau: harm_at(probe, line, tau, harm) for tau in np.linspace(low, high, refined + 2)[1:-1].tolist()}
        tau = _first_best(tried)
        found.append(Found(line, tau, tried[tau]))
    return max(found, key=lambda one: one.harm)


def _budget(line: SearchLine, candidates: int) -> tuple[list[float], int]:
    """The grid of a line, and how many candidates are left to look around its best point."""
    if line.direction is None:
        return [0.0], 0
    refined = round(REFINED * candidates) if candidates > 3 else 0
    return [0.0, *np.geomspace(NEAREST, FARTHEST, candidates - 1 - refined).tolist()], refined


def _first_best(tried: dict[float, float]) -> float:
    return max(tried, key=lambda tau: tried[tau])


def harm_at(probe: Probe, line: SearchLine, tau: float, harm: Callable[[Tensor], float]) -> float:
    """How harmful one candidate is: least of all one that is not finite, or that the defense cannot answer to."""
    candidate = line.at(tau, probe.vectors)
    answer = probe.answer(candidate) if math.isfinite(float(candidate.sum())) else None
    if answer is None:
        return -math.inf
    value = harm(answer)
    return value if math.isfinite(value) else math.inf


def climb(harm: Callable[[float], float], *, evaluations: int, start: float, step: float, ratio: float = 0.8) -> float:
    """The search of the library ByzFL along one line: doubling steps upwards while they pay, then shrinking ones.

    From the best point it only ever looks to the right. `evaluations` counts every call of `harm`.
    """
    best, value, left = start, harm(start), evaluations - 1
    while left > 0:
        found, left = harm(best + step), left - 1
        if found <= value:
            step *= ratio
            break
        best, value, step = best + step, found, 2 * step
    while left > 0:
        found, left = harm(best + step), left - 1
        if found > value:
            best, value = best + step, found
        step *= ratio
    return best


def swing(harm: Callable[[float], float], *, evaluations: int, start: float, step: float, ratio: float = 0.8) -> float:
    """The search of EPFL's ByzantineMomentum along one line: as :func:`climb`, then a probe that moves to both sides.

    The probe goes right while it lies left of the best point and left otherwise, by steps that shrink, and never below
    zero: such a step is halved towards where it came from.
    """
    best, value, left = start, harm(start), evaluations - 1
    while left > 0:
        found, left = harm(best + step), left - 1
        if found <= value:
            probe, step = best + step, step * ratio
            break
        best, value, step = best + step, found, 2 * step
    while left > 0:
        if probe < best:
            probe += step
        else:
            moved = probe - step
            while moved < 0:
                moved = (moved + probe) / 2
            probe = moved
        found, left = harm(probe), left - 1
        if found > value:
            best, value = probe, found
        step *= ratio
    return best
