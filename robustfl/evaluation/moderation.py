"""Standard errors of few seeds, steadied by those of many tests.

With R seeds, the standard deviation s of paired differences has R - 1 degrees of freedom. With 5 seeds that is so few
that, among 200 tests, a difference has to be about 10 standard errors large to be confirmed. Tests in one world are
alike in their noise, though, so what all of them show steadies each of them. The variance of a test is moderated
(Smyth, below):

    s~^2 = (k s0^2 + (R - 1) s^2) / (k + R - 1),     t = d / (s~ / sqrt(R)) with k + R - 1 degrees of freedom,

where d is the mean difference, s0^2 is a typical variance and k is how many degrees of freedom it is worth. Both come
from the variances of the tests alone: the more alike these are, the larger k. If the variances of tests were draws from
one scaled inverse chi-square law, Smyth's estimate of k would be exact. They are not, so half of it is used, and at
most :data:`MOST`. Then simulated families of tests keep their level also where the noise of tests differs a
hundredfold, comes from few seeds of few tests, or is shared by many tests.

Reference: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments, Statistical Applications in Genetics and Molecular Biology 3 (2004).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]

ENOUGH = 10
"""From fewer tests whose differences vary, nothing is learnt about a common spread."""

LEAST_SEEDS = 3
"""From fewer seeds neither: two differences may be equal by rounding, which makes the rest look more alike."""

MOST = 8.0
"""Largest number of degrees of freedom that a common spread is worth."""

ROUNDING = 1e-12
"""Utilities that differ by less are equal, because a single test sample changes them by far more."""


@dataclass(frozen=True, kw_only=True)
class CommonSpread:
    """A typical variance of paired differences, and how many degrees of freedom it is worth beside those of a test."""

    variance: float
    freedom: float


NOTHING = CommonSpread(variance=0.0, freedom=0.0)
"""No knowledge of a common spread: each test has its own variance alone, and is Student's."""


def common_spread(differences: ArrayLike) -> CommonSpread:
    """What the paired differences [m, R] of m tests say about the spread of each; nothing if too few of them vary.

    The logarithm of each variance, freed of the bias of a logarithm of chi-square, is compared with how much such
    logarithms vary by chance (the trigamma function): what is beyond that are differences between the tests. Rows that
    do not vary count for nothing.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < LEAST_SEEDS:
        return NOTHING
    variances = table.var(axis=1, ddof=1)
    variances = variances[variances > ROUNDING**2]
    if len(variances) < ENOUGH:
        return NOTHING
    half = (table.shape[1] - 1) / 2
    logarithms = np.log(variances) - special.digamma(half) + math.log(half)
    centre = float(logarithms.mean())
    beyond = float(logarithms.var(ddof=1)) - float(special.polygamma(1, half))
    if beyond <= 0:  # the tests are as alike as chance lets them be
        return CommonSpread(variance=math.exp(centre), freedom=MOST)
    freedom = 2 * _inverse_trigamma(beyond)
    variance = math.exp(centre + float(special.digamma(freedom / 2)) - math.log(freedom / 2))
    return CommonSpread(variance=variance, freedom=min(freedom / 2, MOST))


def steadied_errors(differences: ArrayLike, common: CommonSpread) -> tuple[FloatArray, float]:
    """The standard error of the mean of each row of differences [m, R], R >= 2, and their degrees of freedom.

    The error is 0 for a row that does not vary if nothing is known about a common spread.
    """
    table = np.asarray(differences, dtype=np.float64)
    seeds, own = table.shape[1], table.var(axis=1, ddof=1)
    freedom = common.freedom + seeds - 1
    variance = (common.freedom * common.variance + (seeds - 1) * np.where(own <= ROUNDING**2, 0.0, own)) / freedom
    return np.sqrt(variance / seeds), freedom


def chance_of_less(means: FloatArray, errors: FloatArray, freedom: float) -> FloatArray:
    """The one-sided p-value of means [m] at or below the observed ones, where the true mean is 0.

    Without an error it is 0 for a mean below 0 beyond rounding, and 1 otherwise.
    """
    exact = np.where(means < -ROUNDING, 0.0, 1.0)
    known = np.asarray(special.stdtr(freedom, means / np.where(errors == 0, 1.0, errors)), dtype=np.float64)
    return np.where(errors == 0, exact, known)


def _inverse_trigamma(value: float) -> float:
    """The x > 0 with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly a straight line."""
    x = 0.5 + 1 / value
    for _ in range(50):
        found = float(special.polygamma(1, x))
        step = found * (1 - found / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) <= 1e-9 * x:
            break
    return x
