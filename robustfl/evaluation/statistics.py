"""The statistics behind the score: intervals of means and minima, paired tests, and how many seeds are enough.

Everything is paired over seeds: seed r fixes the same data, initial weights and random choices for every defense and
every attack. So the difference between two results with the same seed is far less noisy than the results themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from robustfl.errors import ParameterError

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]

FEWEST_SEEDS = 3
"""With fewer seeds there are no intervals of minima: those of two seeds are 13 standard errors wide on each side."""

MAX_SEEDS = 100_000
"""Largest number of seeds that :func:`seeds_needed` considers; an effect that needs more cannot be measured."""

_ROUNDING = 16 * float(np.finfo(np.float64).eps)


def area(fractions: ArrayLike, values: ArrayLike) -> FloatArray:
    """The mean height of a curve: its trapezoid area over `fractions` [F], divided by their range.

    The mean height of a curve with one point is the value of that point. `values` is [F, ...] -> [...].
    """
    x, y = np.asarray(fractions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or y.shape[:1] != x.shape or not (np.diff(x) > 0).all():
        raise ParameterError(
            "`fractions` should increase and match the first axis of `values`. "
            f"Found fractions={x.tolist()} and values of shape {list(y.shape)}."
        )
    if x.size == 1:
        return np.asarray(y[0])
    return np.asarray(np.tensordot(np.diff(x), (y[1:] + y[:-1]) / 2, axes=1) / (x[-1] - x[0]))


def student_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The Student t interval of a mean: `mean ± t_{(1+confidence)/2, R-1} · s / √R`.

    `values` is [R], and s is their standard deviation with the divisor R - 1. A single value has no spread and
    therefore no interval; the result then is None.
    """
    sample = _sample(values, "values")
    _fraction(confidence, "confidence")
    if sample.size == 1:
        return None
    mean = float(sample.mean())
    half = float(special.stdtrit(sample.size - 1, (1 + confidence) / 2)) * standard_error(sample)
    return mean - half, mean + half


def standard_error(values: ArrayLike) -> float:
    """The standard error `s / √R` of at least two values; it is zero if they differ only by rounding."""
    sample = _sample(values, "values")
    if sample.size < 2:
        raise ParameterError("`values` should hold at least 2 values: one has no spread. Found 1. Run more seeds.")
    spread = float(sample.std(ddof=1))
    return 0.0 if spread <= _ROUNDING * float(np.abs(sample).max()) else spread / math.sqrt(sample.size)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of a proportion; it lies in [0, 1], also for 0 and for `trials` successes."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ParameterError(
            "`successes` and `trials` should satisfy 0 <= successes <= trials and trials >= 1. "
            f"Found successes={successes}, trials={trials}."
        )
    _fraction(confidence, "confidence")
    z2 = float(special.ndtri((1 + confidence) / 2)) ** 2
    share = successes / trials
    centre = share + z2 / (2 * trials)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials)
    low, high = (centre - half) / (1 + z2 / trials), (centre + half) / (1 + z2 / trials)
    # At 0 and at `trials` successes one exact limit is 0 or 1; rounding would give 1e-18 or 1.0000000000000002.
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


def minimum_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The interval of the smallest of several means, each known from the same R seeds.

    `values` is [A, R]: one row per attack, one column per seed. With the mean m_a and the standard error e_a of each
    row, c the confidence and t the quantile of Student's distribution with R - 1 degrees of freedom::

        low  = min over a of  m_a - t((1 + c)/2) e_a
        high = min over a of  m_a + t(1 - (1 - c)/(2 K)) e_a

    K is the number of rows that may have the smallest mean: those for which ``m_a - t((1 + c)/2) e_a`` is at most the
    smallest ``m_a + t((1 + c)/2) e_a``. With one clear smallest row, K is 1 and this is the Student interval of that
    row.

    Guarantee: the true minimum lies below `low` only if the bound of the truly smallest row fails, so one row decides
    and no correction is needed, however many rows there are. It lies above `high` only if the bound of one of the K
    rows fails, hence Bonferroni's correction over these. Nothing is assumed about how the rows depend on each other.
    The values of a row should be roughly normal: R seeds cannot exclude that a share ``1 - ((1 - c)/2)^(1/R)`` of all
    seeds (71 % for R = 3, 31 % for R = 10) would end quite differently. The interval always holds the smallest mean.

    With fewer than :data:`FEWEST_SEEDS` seeds the bounds would say nothing, and the result is None.

    The method of the upper bound, with its selection of rows, is in Chernozhukov, Lee, Rosen, Intersection Bounds,
    Econometrica 2013.

    Raises
    ------
    ParameterError : `values` is no finite table with at least one row, or `confidence` is not between 0 and 1
    """
    table = _table(values)
    _fraction(confidence, "confidence")
    seeds = table.shape[1]
    if seeds < FEWEST_SEEDS:
        return None
    means, spreads = table.mean(axis=1), table.std(axis=1, ddof=1)
    errors = np.where(spreads <= _ROUNDING * np.abs(table).max(axis=1), 0.0, spreads / math.sqrt(seeds))
    single = float(special.stdtrit(seeds - 1, (1 + confidence) / 2))
    lows, highs = means - single * errors, means + single * errors
    contenders = int((lows <= highs.min()).sum())
    among = float(special.stdtrit(seeds - 1, 1 - (1 - confidence) / (2 * contenders)))
    return float(lows.min()), float((means + among * errors).min())


def mean_interval(estimates: ArrayLike, intervals: Sequence[Interval], largest: ArrayLike | None = None) -> Interval:
    """The interval of the mean of independent quantities, from an estimate [W] and an interval of each.

    It is the method of variance estimates recovery: ``low = mean - sqrt(sum of (x_w - low_w)^2) / W``, and `high`
    likewise. So intervals that are not symmetric keep their shape (Zou, Donner, Construction of confidence limits about
    effect measures: a general approach, Statistics in Medicine 2008).

    Errors that are random grow more slowly than the number of quantities; a bias does not. Estimates that are too low
    on average, such as minima of noisy means, therefore need `largest` [W], estimates that are too high on average
    (:func:`cross_fitted`): `high` is then counted from their mean. It is never above the mean of the upper ends, which
    covers the truth, too.
    """
    found, ends = _sample(estimates, "estimates"), np.asarray(intervals, dtype=np.float64)
    above = found if largest is None else _sample(largest, "largest")
    if ends.shape != (found.size, 2) or above.size != found.size:
        raise ParameterError(
            f"`intervals` and `largest` should hold one [low, high] and one value for each of {found.size} estimates. "
            f"Found shape {list(ends.shape)} and {above.size} values."
        )
    below, beyond = (float(np.sqrt(((found - ends[:, side]) ** 2).sum())) / found.size for side in (0, 1))
    return float(found.mean()) - below, min(float(above.mean()) + beyond, float(ends[:, 1].mean()))


def cross_fitted(values: ArrayLike, floor: float = -math.inf) -> FloatArray:
    """Each seed's value in the row whose mean is smallest on the seeds of the other half: [A, R] -> [R], R >= 2.

    The halves are the seeds in even and in odd places. No seed helps to choose the row in which it is read, so the mean
    of the result is never below the smallest true mean on average. The smallest of the measured means is never above it
    on average: the truth lies between the two.

    Where less than `floor` is no worse than `floor`, rows whose means over those seeds are not above it say the same.
    Of them, the one is taken that is surest to be there, with the smallest sum of mean and standard deviation. What its
    mean is below `floor` is added to what is read, so the mean of the result is never below `floor` on average, either
    (Jensen's inequality).
    """
    table = _table(values)
    if table.shape[1] < 2:
        raise ParameterError("`values` should hold at least 2 seeds, one for each half. Found 1. Run more seeds.")
    found = np.empty(table.shape[1])
    for half in (0, 1):
        others = table[:, 1 - half :: 2]
        means = others.mean(axis=1)
        sure = np.where(means <= floor, means + others.std(axis=1), np.inf)
        row = int((sure if means.min() <= floor else means).argmin())
        found[half::2] = table[row, half::2] + max(floor - float(means[row]), 0.0)
    return found


def paired_test(first: ArrayLike, second: ArrayLike, strata: ArrayLike | None = None) -> tuple[float, float]:
    """The mean of `first - second` and its two-sided paired t-test p-value.

    Both are [R], and the values with index r come from the same seed. `strata` [R] gives the stratum of each value,
    such as its world. With it, the result is the mean of the means of the strata. Its error is that of a stratified
    sample, ``sqrt(sum of s_w^2 / R_w) / W``, with the degrees of freedom of Welch and Satterthwaite, so strata may
    differ in their means and in their noise. Every stratum needs at least two values. If all differences within each
    stratum are equal (up to rounding), the t statistic does not exist; then p is 0 if the mean differs from zero, and
    1 otherwise.
    """
    found = _paired(first, second, strata)
    if found.largest <= found.rounding:
        return found.mean, 0.0 if abs(found.mean) > found.rounding else 1.0
    t = found.mean / found.largest * found.strata / math.sqrt(found.errors)
    return found.mean, float(2 * special.stdtr(found.freedom, -abs(t)))


def paired_interval(
    first: ArrayLike, second: ArrayLike, strata: ArrayLike | None = None, confidence: float = 0.95
) -> Interval:
    """The interval of the mean of `first - second` that belongs to :func:`paired_test`.

    It leaves out zero when that test is significant at the level `1 - confidence`. If all differences within each
    stratum are equal (up to rounding), both ends are the mean.
    """
    _fraction(confidence, "confidence")
    found = _paired(first, second, strata)
    if found.largest <= found.rounding:
        return found.mean, found.mean
    error = found.largest * math.sqrt(found.errors) / found.strata
    half = float(special.stdtrit(found.freedom, (1 + confidence) / 2)) * error
    return found.mean - half, found.mean + half


class _Paired(NamedTuple):
    """The mean of paired differences and its error: `largest * sqrt(errors) / strata`, on `freedom` degrees."""

    mean: float
    rounding: float
    largest: float
    errors: float
    freedom: float
    strata: int


def _paired(first: ArrayLike, second: ArrayLike, strata: ArrayLike | None) -> _Paired:
    a, b = _sample(first, "first"), _sample(second, "second")
    blocks = np.zeros(a.size) if strata is None else np.asarray(strata)
    _, block, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    if a.size != b.size or a.size != block.size or sizes.min(initial=2) < 2:
        raise ParameterError(
            "`first` and `second` should hold one value for each of the same seeds, 2 seeds or more (in each stratum). "
            f"Found {a.size} and {b.size}{'' if strata is None else f', strata of {sizes.tolist()}'}."
        )
    groups = [(a - b)[block == number] for number in range(sizes.size)]
    mean = float(np.mean([group.mean() for group in groups]))
    # The rounding error of a - b is relative to a and b, not to their difference.
    rounding = _ROUNDING * float(max(np.abs(a).max(), np.abs(b).max()))
    spreads = np.array([group.std(ddof=1) for group in groups])
    largest = float(spreads.max())  # the squares of tiny spreads would underflow
    if largest <= rounding:
        return _Paired(mean, rounding, largest, 0.0, math.inf, sizes.size)
    errors = (spreads / largest) ** 2 / sizes
    freedom = float(errors.sum() ** 2 / (errors**2 / (sizes - 1)).sum())
    return _Paired(mean, rounding, largest, float(errors.sum()), freedom, sizes.size)


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which tests of a family are significant, if the chance of any false positive in the family may be `alpha`.

    This is Holm's step-down rule: the k-th smallest of m p-values (k from 0) is compared with `alpha / (m - k)`, and
    the first p-value that is larger ends the procedure.
    """
    _fraction(alpha, "alpha")
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise ParameterError(f"`p_values` should satisfy 0 <= p <= 1. Found p={wrong[0]}.")
    significant = [False] * len(p_values)
    for k, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > alpha / (len(p_values) - k):
            break
        significant[index] = True
    return significant


def detectable_drop(seeds: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest paired drop that `seeds` seeds detect, in standard deviations of the paired differences.

    It is `(t_{1-alpha, R-1} + t_{power, R-1}) / √R`: a one-sided test at level `alpha` finds such a drop with
    probability `power`.
    """
    if seeds < 2:
        raise ParameterError(f"`seeds` should satisfy seeds >= 2: one seed detects nothing. Found seeds={seeds}.")
    _fraction(alpha, "alpha")
    _fraction(power, "power")
    freedom = seeds - 1
    return float(special.stdtrit(freedom, 1 - alpha) + special.stdtrit(freedom, power)) / math.sqrt(seeds)


def seeds_needed(drop: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The smallest number of seeds that detects a paired drop, or None if more than :data:`MAX_SEEDS` are needed.

    `drop` is the size of the drop and `spread` the standard deviation of the paired differences, in the same unit
    (utility or accuracy). The test is that of :func:`detectable_drop`.
    """
    if not (drop > 0 and spread >= 0 and math.isfinite(drop) and math.isfinite(spread)):
        raise ParameterError(
            f"`drop` and `spread` should satisfy drop > 0 and spread >= 0. Found drop={drop}, spread={spread}."
        )
    wanted = math.inf if spread == 0 else drop / spread
    low, high = 2, MAX_SEEDS
    if detectable_drop(high, alpha, power) > wanted:
        return None
    while low < high:  # the detectable drop shrinks with every seed
        middle = (low + high) // 2
        low, high = (low, middle) if detectable_drop(middle, alpha, power) <= wanted else (middle + 1, high)
    return low


def _sample(values: ArrayLike, name: str) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ParameterError(f"`{name}` should be a non-empty list of numbers. Found shape {list(sample.shape)}.")
    if not np.isfinite(sample).all():
        bad: Any = sample[~np.isfinite(sample)][0]
        raise ParameterError(f"`{name}` should be finite. Found {float(bad)}. Leave failed runs out before this step.")
    return sample


def _table(values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise ParameterError(
            "`values` should be a finite table with one row per attack and one column per seed. "
            f"Found shape {list(table.shape)}, {int((~np.isfinite(table)).sum())} entries not finite."
        )
    return table


def _fraction(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ParameterError(f"`{name}` should satisfy 0 < {name} < 1. Found {name}={value}.")
