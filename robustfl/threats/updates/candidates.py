"""Searches for the malicious vector that harms most, over several lines of candidates or along one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from robustfl.threats.updates.probing import Probe

if TYPE_CHECKING:
    from torch import Tensor

NEAREST, FARTHEST = 0.05, 50.0
"""Ends of the geometric grid of a line, in lengths of its direction; 0 is tried as well."""

REFINED = 5 / 19
"""Share of a line's candidates that is spent around the best point of the grid."""


class SearchLine(NamedTuple):
    """The candidates ``base + tau direction``; both are names of a probe's vectors, and None means no direction."""

    base: str
    direction: str | None = None

    def at(self, tau: float, vectors: dict[str, Tensor]) -> Tensor:
        """The candidate at `tau`."""
        base = vectors[self.base]
        return base.clone() if self.direction is None or not tau else base + tau * vectors[self.direction]


class Found(NamedTuple):
    """The candidate that harms most, and its harm in the units of the objective."""

    line: SearchLine
    tau: float
    harm: float


def worst_of(
    probe: Probe,
    lines: Sequence[SearchLine],
    harm: Callable[[Tensor], float],
    candidates: int,
    reach: tuple[float, float] = (NEAREST, FARTHEST),
) -> Found:
    """The most harmful candidate on all lines, with `candidates` points tried on each line.

    A line is first searched on a geometric grid with the ends `reach`, and then around the best point of the grid.
    `harm` maps the defense's answer [k] to a number; an answer that is not finite counts as the greatest harm. Of
    equally harmful candidates, the earlier one is taken.
    """
    found = []
    for line in lines:
        grid, refined = _budget(line, candidates, reach)
        tried = {tau: harm_at(probe, line, tau, harm) for tau in grid}
        place = grid.index(_first_best(tried))
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        tried |= {tau: harm_at(probe, line, tau, harm) for tau in np.linspace(low, high, refined + 2)[1:-1].tolist()}
        tau = _first_best(tried)
        found.append(Found(line, tau, tried[tau]))
    return max(found, key=lambda one: one.harm)


def _budget(line: SearchLine, candidates: int, reach: tuple[float, float]) -> tuple[list[float], int]:
    """The grid of a line, and the number of candidates that are left for points around its best point."""
    if line.direction is None:
        return [0.0], 0
    refined = round(REFINED * candidates) if candidates > 3 else 0
    return [0.0, *np.geomspace(*reach, candidates - 1 - refined).tolist()], refined


def _first_best(tried: dict[float, float]) -> float:
    return max(tried, key=lambda tau: tried[tau])


def harm_at(probe: Probe, line: SearchLine, tau: float, harm: Callable[[Tensor], float]) -> float:
    """The harm of one candidate; minus infinity if it is not finite, or if the defense cannot answer to it."""
    candidate = line.at(tau, probe.vectors)
    answer = probe.answer(candidate) if math.isfinite(float(candidate.sum())) else None
    if answer is None:
        return -math.inf
    value = harm(answer)
    return value if math.isfinite(value) else math.inf


def climb(harm: Callable[[float], float], *, evaluations: int, start: float, step: float, ratio: float = 0.8) -> float:
    """The search of the library ByzFL along one line: steps double while the harm grows, and shrink afterwards.

    The search only looks to the right of the best point. `evaluations` is the number of calls of `harm`.
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
    """The search of EPFL's ByzantineMomentum along one line: it starts as :func:`climb`, and then looks on both sides.

    After the doubling steps, a probe moves to the right while it lies left of the best point, and to the left
    otherwise. Its steps shrink. It never goes below zero: a step that would is halved until it does not.
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
