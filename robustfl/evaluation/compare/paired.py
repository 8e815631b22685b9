"""Paired differences over seeds: how large a change is, how certain it is, and what many cells say of their noise.

With R seeds, the standard deviation s of a cell's differences has R - 1 degrees of freedom. With 5 seeds that is so
few that, among 200 cells, a drop has to be about 10 standard errors large to be confirmed. Cells of one world are alike
in their noise, though, so what all of them show steadies each of them. The variance of a cell is moderated (Smyth,
below):

    s~^2 = (k s0^2 + (R - 1) s^2) / (k + R - 1),     t = d / (s~ / sqrt(R)) with k + R - 1 degrees of freedom,

where s0^2 is a typical variance and k is how many degrees of freedom it is worth. Both come from the variances of the
cells alone: the more alike these are, the larger k. If the variances of cells were draws from one scaled inverse
chi-square law, Smyth's estimate of k would be exact. They are not, so half of it is used, and at most :data:`MOST`.
Then simulated families keep their level also where the noise of cells differs a hundredfold, comes from few seeds of
few cells, or is shared by many cells.

Reference: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments, Statistical Applications in Genetics and Molecular Biology 3 (2004).

>>> found = weigh((-0.04, -0.02, -0.03, -0.05, -0.01))
>>> found.verdict(significant=True), round(found.change, 4), round(found.upper, 4)
('REGRESSION', -0.03, -0.0149)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from robustfl.errors import ParameterError

VerdictName = Literal["REGRESSION", "INCONCLUSIVE", "PASS", "IMPROVED"]

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
    if table.shape[1] < LEAST_SEEDS:
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


@dataclass(frozen=True, kw_only=True)
class PairedEvidence:
    """What paired differences show: their mean, and one-sided bounds at `level` (None with one seed).

    `p` is the one-sided p-value of "no drop". If the differences do not vary, and nothing else says how much they
    might, it is 0 for a drop beyond delta and 1 otherwise.
    """

    change: float
    lower: float | None
    upper: float | None
    p: float
    delta: float
    level: float

    def verdict(self, *, significant: bool) -> VerdictName:
        """The verdict, given whether the drop is significant among all tests."""
        if self.lower is None or self.upper is None:
            return "PASS" if self.change == 0 else "INCONCLUSIVE"
        if significant and self.upper < 0 and self.change < -self.delta:
            return "REGRESSION"
        if self.lower > ROUNDING:
            return "IMPROVED"
        constant = self.lower == self.upper
        if self.lower > -self.delta or (constant and self.lower >= -self.delta - ROUNDING):
            return "PASS"
        return "INCONCLUSIVE"


def weigh(differences: Sequence[float], *, delta: float = 0.02, alpha: float = 0.05) -> PairedEvidence:
    """The evidence of paired differences [R] in utility, candidate minus baseline, tested once at level `alpha`."""
    row = np.asarray(differences, dtype=np.float64)
    if row.ndim != 1 or row.size == 0 or not np.isfinite(row).all():
        raise ParameterError(f"`differences` should be a non-empty list of finite numbers. Found {list(differences)}.")
    (found,) = weigh_together(row[None, :], delta=delta, alpha=alpha, common=NOTHING)
    return found


def weigh_together(
    differences: ArrayLike, *, delta: float, alpha: float, common: CommonSpread | None = None
) -> list[PairedEvidence]:
    """The evidence of each row of the paired differences [m, R] of one world, with its variance moderated.

    The common spread is that of the rows themselves unless it is given. Rows that agree in every seed show no noise and
    no drop, whatever other rows show.
    """
    check(delta, alpha)
    table = np.asarray(differences, dtype=np.float64)
    if table.size == 0:
        return []
    change, seeds = table.mean(axis=1), table.shape[1]
    if seeds == 1:
        known = {"lower": None, "upper": None, "p": 1.0, "delta": delta, "level": alpha}
        return [PairedEvidence(change=value, **known) for value in change.tolist()]
    common = common_spread(table) if common is None else common
    own = table.var(axis=1, ddof=1)
    constant = (own <= ROUNDING**2) & ((np.abs(change) <= ROUNDING) | (common.freedom == 0))
    freedom = common.freedom + seeds - 1
    error = np.sqrt((common.freedom * common.variance + (seeds - 1) * own) / freedom / seeds)
    error[constant] = 0
    half = special.stdtrit(freedom, 1 - alpha) * error
    exact = np.where(change < -delta - ROUNDING, 0.0, 1.0)
    p = np.where(constant, exact, special.stdtr(freedom, change / np.where(constant, 1, error)))
    columns = zip(change.tolist(), (change - half).tolist(), (change + half).tolist(), p.tolist(), strict=True)
    return [
        PairedEvidence(change=c, lower=lower, upper=upper, p=chance, delta=delta, level=alpha)
        for c, lower, upper, chance in columns
    ]


def check(delta: float, alpha: float) -> None:
    """Raise ParameterError unless a drop that does not matter and a level are what they should be."""
    if not (math.isfinite(delta) and delta >= 0):
        raise ParameterError(f"`delta` should satisfy delta >= 0. Found delta={delta}.")
    if not 0 < alpha < 1:
        raise ParameterError(f"`alpha` should satisfy 0 < alpha < 1. Found alpha={alpha}.")


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
