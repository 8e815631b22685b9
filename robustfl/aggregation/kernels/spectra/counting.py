"""Eigenvalues of a tridiagonal matrix by their rank: Sturm's count says how many of them are below a shift.

The characteristic polynomials of the leading blocks change their sign once for each eigenvalue below the shift. Their
recurrence needs no division, so that it takes a quarter of the time of the usual one of their quotients. They shrink
fast, and are raised now and then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiled_vectors import (
    add_product,
    fill,
    high,
    load_beside,
    magnitude,
    minus,
    over,
    rank_image,
    store,
    times,
    where_less,
)
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.spectra.lockstep import LANES, count_turns, eight, spread

EPSILON = float(np.finfo(np.float64).eps)

APART = 1e-40
"""Least square of an entry beside the diagonal, where no row sums to more than 1 in magnitude: a smaller one changes no
eigenvalue by as much as rounding does, and two polynomials in a row could be 0."""

RAISE = 1e100
"""What the polynomials are multiplied by when they have become smaller than its inverse."""

BETWEEN = 8
"""Rows between two looks at how small the polynomials are, which can lose 40 digits a row at most, and in general one.
With the rows of the largest matrix, none can overflow."""

HALVINGS, STEPS = 11, 60
"""Halvings of each interval before Newton's steps, and the most steps. Three or four are enough in general."""

NEAR = 4.0 * EPSILON
"""Length of a step that may be a rounding error, where no row of the matrix sums to more than 1 in magnitude."""

CLOSE = 0.125 * EPSILON
"""Square of a step of Newton's iteration, as a share of the smallest gap, after which the next one is lost in rounding.
"""


@kernel
def scale_down(diagonal: Any, beside: Any, small: Any, less: Any, squares: Any) -> float:
    """Fill `small` and `less` with a tridiagonal matrix none of whose rows sums to more than 1 in magnitude.

    Returns the power of two by which it was divided. `squares` are those of what is beside its diagonal, with the
    opposite sign.
    """
    m, size = len(diagonal), 0.0
    for i in range(m):
        size = max(size, abs(diagonal[i]) + (abs(beside[i - 1]) if i else 0.0) + (abs(beside[i]) if i < m - 1 else 0.0))
    unit = 2.0 ** np.ceil(np.log2(size)) if size > 0.0 else 1.0
    for i in range(m):
        small[i] = diagonal[i] / unit
    for i in range(m - 1):
        less[i] = beside[i] / unit
        squares[i] = -max(less[i] * less[i], APART)
    return float(unit)


@kernel
def count_below_shifts(diagonal: Any, squares: Any, shifts: Any, counts: Any) -> None:
    """How many eigenvalues are below each of the `shifts`; see :func:`scale_down` for the matrix."""
    one, bound, raised = eight(1.0), eight(1.0 / RAISE), eight(RAISE)
    for at in range(0, len(shifts), LANES):
        shift = load_beside(shifts, at, one)
        before, now = one, minus(spread(one, diagonal, 0), shift)
        count = count_turns(fill(rank_image(one), 0), before, now)
        for i in range(1, len(diagonal)):
            rest = times(spread(one, squares, i - 1), before)
            before, now = now, add_product(rest, minus(spread(one, diagonal, i), shift), now)
            count = count_turns(count, before, now)
            if i % BETWEEN == 0:
                factor = where_less(high(magnitude(before), magnitude(now)), bound, raised, one)
                before, now = times(before, factor), times(now, factor)
        store(counts, at, count)


@kernel
def step_to_roots(diagonal: Any, squares: Any, shifts: Any, counts: Any, steps: Any) -> None:
    """:func:`count_below_shifts`, and Newton's steps from the shifts to roots of the characteristic polynomial."""
    one, bound, raised = eight(1.0), eight(1.0 / RAISE), eight(RAISE)
    for at in range(0, len(shifts), LANES):
        shift = load_beside(shifts, at, one)
        before, now = one, minus(spread(one, diagonal, 0), shift)
        slope_before, slope = eight(0.0), eight(-1.0)
        count = count_turns(fill(rank_image(one), 0), before, now)
        for i in range(1, len(diagonal)):
            away, square = minus(spread(one, diagonal, i), shift), spread(one, squares, i - 1)
            steeper = minus(add_product(times(square, slope_before), away, slope), now)
            slope_before, slope = slope, steeper
            before, now = now, add_product(times(square, before), away, now)
            count = count_turns(count, before, now)
            if i % BETWEEN == 0:
                factor = where_less(high(magnitude(before), magnitude(now)), bound, raised, one)
                before, now = times(before, factor), times(now, factor)
                slope_before, slope = times(slope_before, factor), times(slope, factor)
        store(counts, at, count)
        store(steps, at, over(now, slope))


@kernel
def spread_shifts(
    diagonal: Any, squares: Any, wanted: Any, shifts: Any, counts: Any, lows: Any, highs: Any, below: Any, above: Any
) -> None:
    """Narrow the intervals of the eigenvalues of rank `wanted`, ascending, by shifts all over those but the last.

    `below` and `above` are how many eigenvalues are below the ends of each interval.
    """
    lanes, at = len(shifts), 0
    low, high = lows[0], highs[lanes - 2]
    for lane in range(lanes):
        shifts[lane] = low + (high - low) * (lane + 1) / (lanes + 1)
    count_below_shifts(diagonal, squares, shifts, counts)
    for lane in range(lanes):
        while at < lanes and counts[at] <= wanted[lane]:
            at += 1
        if at and shifts[at - 1] > lows[lane]:
            lows[lane], below[lane] = shifts[at - 1], counts[at - 1]
        if at < lanes and shifts[at] < highs[lane]:
            highs[lane], above[lane] = shifts[at], counts[at]


@kernel
def eigenvalues(diagonal: Any, squares: Any, wanted: Any, shifts: Any) -> bool:
    """Fill `shifts` with the eigenvalues of rank `wanted`, 0 for the smallest; says whether all of them were found.

    Each is kept inside the interval that counts allow it, and Newton's steps begin when no other one is in there. The
    ranks ascend; all but the last one should belong to eigenvalues of about the same size. There is a multiple of
    :data:`LANES` of them.
    """
    lanes, m = len(wanted), len(diagonal)
    lows, highs, below, above = np.full(lanes, -1.0), np.full(lanes, 1.0), np.zeros(lanes), np.full(lanes, 1.0 * m)
    counts, moves, lasts = np.empty(lanes, np.int64), np.empty(lanes), np.full(lanes, 2.0)
    for _ in range(2):
        spread_shifts(diagonal, squares, wanted, shifts, counts, lows, highs, below, above)
    for lane in range(lanes):
        shifts[lane] = 0.5 * (lows[lane] + highs[lane])
    for step in range(HALVINGS + STEPS):
        if step < HALVINGS:
            count_below_shifts(diagonal, squares, shifts, counts)
        else:
            step_to_roots(diagonal, squares, shifts, counts, moves)
        longest, gap = 0.0, 2.0
        for lane in range(lanes):
            if counts[lane] <= wanted[lane]:
                lows[lane], below[lane] = shifts[lane], counts[lane]
            else:
                highs[lane], above[lane] = shifts[lane], counts[lane]
            root = 0.5 * (lows[lane] + highs[lane])
            if step >= HALVINGS:
                there, move = shifts[lane] - moves[lane], abs(moves[lane])
                inside = lows[lane] <= there <= highs[lane] and move <= 0.5 * lasts[lane]
                if above[lane] - below[lane] == 1.0 and (inside or move <= NEAR):
                    root = there
                elif highs[lane] - lows[lane] > NEAR:
                    longest = 2.0
                lasts[lane] = abs(root - shifts[lane])
                longest = max(longest, lasts[lane])
            shifts[lane] = root
            if lane and wanted[lane] > wanted[lane - 1]:
                gap = min(gap, root - shifts[lane - 1])
        if step >= HALVINGS and (longest <= NEAR or longest * longest <= CLOSE * gap):
            return True
    return False


@kernel
def largest_eigenvalue(diagonal: Any, squares: Any) -> float:
    """The least number that is found to be above all eigenvalues."""
    shifts, counts = np.empty(LANES), np.empty(LANES, np.int64)
    low, high = diagonal.max(), 1.0 + NEAR
    while high - low > 2.0 * EPSILON:
        for lane in range(LANES):
            shifts[lane] = low + (high - low) * (lane + 1) / (LANES + 1)
        count_below_shifts(diagonal, squares, shifts, counts)
        lane = 0
        while lane < LANES and counts[lane] < len(diagonal):
            low = shifts[lane]
            lane += 1
        if lane < LANES:
            high = shifts[lane]
    return float(high)
