"""The statistics behind the score: intervals, the paired bootstrap, paired tests, and how many seeds are enough.

Everything is paired over seeds: seed r fixes the same data, initial weights and random choices for every defense and
every attack. So the difference between two results with the same seed is far less noisy than the results themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from robustfl.errors import ParameterError

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]

EXACT_SEEDS = 6
"""Up to this number of seeds R, all R^R resamples are enumerated; for more seeds they are drawn at random."""

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


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """Bootstrap resamples of R seeds, which all quantities that must stay paired share.

    `weights` [B, R] holds the share of each seed in each resample. `counts` [B] says how many of the R^R equally likely
    index vectors give that resample (1 if the resamples are drawn). The means over seeds of all resamples are then a
    product of matrices.
    """

    weights: FloatArray  # [B, R]
    counts: NDArray[np.int64]  # [B]

    def means(self, values: ArrayLike) -> FloatArray:
        """The means over seeds in every resample: [..., R] -> [..., B]."""
        return np.asarray(np.asarray(values, dtype=np.float64) @ self.weights.T)

    def mean(self, replicates: ArrayLike) -> float:
        """The mean of a bootstrapped quantity [B] over all resamples."""
        return float(np.average(np.asarray(replicates, dtype=np.float64), weights=self.counts))

    def interval(self, replicates: ArrayLike, confidence: float = 0.95) -> Interval:
        """The percentile interval of a bootstrapped quantity [B], by linear interpolation."""
        _fraction(confidence, "confidence")
        expanded = np.repeat(np.asarray(replicates, dtype=np.float64), self.counts)
        low, high = np.quantile(expanded, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


def paired_resamples(seeds: int, replicates: int = 10_000, rng: np.random.Generator | None = None) -> Resamples:
    """Resamples of `seeds` seeds: all of them for up to 6 seeds, and `replicates` random ones for more seeds.

    Equal resamples are listed once, with their count (for 6 seeds, 462 rows stand for 46 656 resamples). Without `rng`
    the random draws come from a fixed stream, so the same records always give the same intervals.
    """
    if seeds < 1 or replicates < 1:
        raise ParameterError(
            f"`seeds` and `replicates` should be at least 1. Found seeds={seeds}, replicates={replicates}."
        )
    if seeds <= EXACT_SEEDS:
        draws = combinations_with_replacement(range(seeds), seeds)
        rows = np.array([np.bincount(draw, minlength=seeds) for draw in draws])
        orders = np.array([math.factorial(seeds) // math.prod(math.factorial(int(c)) for c in row) for row in rows])
        return Resamples(weights=rows / seeds, counts=orders.astype(np.int64))
    generator = np.random.default_rng(0) if rng is None else rng
    rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates)
    return Resamples(weights=rows / seeds, counts=np.ones(replicates, dtype=np.int64))


def cross_fitted_minimum(values: ArrayLike) -> float:
    """The smallest mean over seeds, without the downward bias of a minimum of noisy means.

    `values` is [A, R] with R >= 2. The row of smallest mean is chosen on every other seed and evaluated on the rest of
    the seeds. Then the two halves change their roles, and the two values are averaged.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise ParameterError(
            "`values` should be a finite table of at least 1 attack and 2 seeds. "
            f"Found shape {list(table.shape)}, {int((~np.isfinite(table)).sum())} of them not finite."
        )
    halves = table[:, 0::2].mean(axis=1), table[:, 1::2].mean(axis=1)
    return float((halves[1][halves[0].argmin()] + halves[0][halves[1].argmin()]) / 2)


def paired_test(first: ArrayLike, second: ArrayLike, strata: ArrayLike | None = None) -> tuple[float, float]:
    """The mean of `first - second` and its two-sided paired t-test p-value.

    Both are [R], and the values with index r come from the same seed. `strata` [R] gives the stratum of each value,
    such as its world. With it, the result is the mean of the means of the strata. Its error is that of a stratified
    sample, ``sqrt(sum of s_w^2 / R_w) / W``, with the degrees of freedom of Welch and Satterthwaite, so strata may
    differ in their means and in their noise. Every stratum needs at least two values. If all differences within each
    stratum are equal (up to rounding), the t statistic does not exist; then p is 0 if the mean differs from zero, and
    1 otherwise.
    """
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
    if (spreads <= rounding).all():
        return mean, 0.0 if abs(mean) > rounding else 1.0
    largest = float(spreads.max())  # the squares of tiny spreads would underflow
    errors = (spreads / largest) ** 2 / sizes
    freedom = float(errors.sum() ** 2 / (errors**2 / (sizes - 1)).sum())
    t = mean / largest * sizes.size / math.sqrt(float(errors.sum()))
    return mean, float(2 * special.stdtr(freedom, -abs(t)))


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


def _fraction(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ParameterError(f"`{name}` should satisfy 0 < {name} < 1. Found {name}={value}.")
