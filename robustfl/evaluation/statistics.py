"""The statistics behind the score: intervals, the paired bootstrap, paired tests, and how many seeds are enough.

Everything is paired over seeds: seed r fixes the same data, initial weights and random choices for every defense and
every attack, so differences between two columns with the same seed are far less noisy than the columns themselves.
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
"""Up to this many seeds all R^R resamples are enumerated; beyond it they are drawn."""

MAX_SEEDS = 100_000
"""Where :func:`seeds_needed` stops looking: an effect that needs more seeds cannot be measured in practice."""

_ROUNDING = 16 * float(np.finfo(np.float64).eps)


def area(fractions: ArrayLike, values: ArrayLike) -> FloatArray:
    """The mean height of a curve: trapezoid area over `fractions` [F] divided by their range; one point is itself.

    `values` is [F, ...] -> [...].
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
    """The Student t interval of a mean: `mean ± t_{(1+confidence)/2, R-1} · s / √R`, s with R - 1.

    `values` is [R]. One value has no spread and therefore no interval: None.
    """
    sample = _sample(values, "values")
    _fraction(confidence, "confidence")
    if sample.size == 1:
        return None
    mean = float(sample.mean())
    half = float(special.stdtrit(sample.size - 1, (1 + confidence) / 2)) * standard_error(sample)
    return mean - half, mean + half


def standard_error(values: ArrayLike) -> float:
    """`s / √R` of at least two values; zero when they differ by rounding alone."""
    sample = _sample(values, "values")
    if sample.size < 2:
        raise ParameterError("`values` should hold at least 2 values: one has no spread. Found 1. Run more seeds.")
    spread = float(sample.std(ddof=1))
    return 0.0 if spread <= _ROUNDING * float(np.abs(sample).max()) else spread / math.sqrt(sample.size)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of a proportion; within [0, 1] and sensible at 0 and at `trials` successes."""
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
    # At the ends the exact limits are 0 and 1; rounding would leave 1e-18 or 1.0000000000000002.
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """Bootstrap resamples of R seeds, shared by every quantity that must stay paired.

    `weights` is [B, R]: the share of each seed in a resample. `counts` is [B]: how many of the R^R equally likely
    index vectors give that row (1 each when drawn). A mean over seeds of any resample is then a product of matrices.
    """

    weights: FloatArray  # [B, R]
    counts: NDArray[np.int64]  # [B]

    def means(self, values: ArrayLike) -> FloatArray:
        """The mean over seeds in every resample: [..., R] -> [..., B]."""
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
    """Resamples of the index set of `seeds` seeds: all of them up to 6 seeds, `replicates` drawn ones beyond.

    Equal rows are enumerated once with their count (R = 6: 462 rows stand for 46 656). Without `rng` the draws come
    from a fixed stream, so that the same records always give the same intervals.
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

    `values` is [A, R] with R >= 2: the row is chosen on every other seed and evaluated on the rest, then the other way
    round; the two values are averaged.
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

    Both are [R], column r from one seed. With `strata` [R], the stratum (a world, say) of each column, it is the mean
    of the strata's means, and its error is that of a stratified sample: ``sqrt(sum of s_w^2 / R_w) / W`` with Welch and
    Satterthwaite's degrees of freedom, so strata may differ in their means and in their noise. Every stratum needs two
    columns. When all differences within each stratum are equal (up to rounding) the t statistic does not exist; then p
    is 0 for a difference and 1 for none.
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
    # Rounding of a - b is relative to a and b, not to their difference.
    rounding = _ROUNDING * float(max(np.abs(a).max(), np.abs(b).max()))
    spreads = np.array([group.std(ddof=1) for group in groups])
    if (spreads <= rounding).all():
        return mean, 0.0 if abs(mean) > rounding else 1.0
    largest = float(spreads.max())  # squares of tiny spreads are no floats
    errors = (spreads / largest) ** 2 / sizes
    freedom = float(errors.sum() ** 2 / (errors**2 / (sizes - 1)).sum())
    t = mean / largest * sizes.size / math.sqrt(float(errors.sum()))
    return mean, float(2 * special.stdtr(freedom, -abs(t)))


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which of a family of tests are significant when no more than `alpha` of families may hold a false one.

    Holm's step-down rule: the k-th smallest p-value (k from 0) is compared with `alpha / (m - k)`; the first that is
    larger stops it.
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

    `(t_{1-alpha, R-1} + t_{power, R-1}) / √R`: one-sided at level `alpha`, found with probability `power`.
    """
    if seeds < 2:
        raise ParameterError(f"`seeds` should satisfy seeds >= 2: one seed detects nothing. Found seeds={seeds}.")
    _fraction(alpha, "alpha")
    _fraction(power, "power")
    freedom = seeds - 1
    return float(special.stdtrit(freedom, 1 - alpha) + special.stdtrit(freedom, power)) / math.sqrt(seeds)


def seeds_needed(drop: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The fewest seeds that detect a paired drop of size `drop` when paired differences have deviation `spread`.

    Both in the same unit (utility or accuracy). None when more than :data:`MAX_SEEDS` would be needed.
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
