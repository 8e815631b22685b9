"""What paired differences over seeds show: how large a change is, and how certain.

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
from robustfl.evaluation.moderation import (
    NOTHING,
    ROUNDING,
    CommonSpread,
    chance_of_less,
    common_spread,
    steadied_errors,
)

VerdictName = Literal["REGRESSION", "INCONCLUSIVE", "PASS", "IMPROVED"]


@dataclass(frozen=True, kw_only=True)
class PairedEvidence:
    """What paired differences show: their mean, and one-sided bounds at `level` (None with one seed).

    `p` is the one-sided p-value of "no drop". If the differences do not vary, and nothing else says how much they
    might, it is 1 for a drop within delta, and for a larger one that of rounding to whole test samples (0 without it).
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
    differences: ArrayLike,
    *,
    delta: float,
    alpha: float,
    resolution: float = 0.0,
    common: CommonSpread | None = None,
) -> list[PairedEvidence]:
    """The evidence of each row of the paired differences [m, R] of one world, with its variance moderated.

    The common spread (:mod:`robustfl.evaluation.moderation`) is that of the rows themselves unless it is given. Rows
    that agree in every seed show no noise and no drop, whatever other rows show. `resolution` is the utility of a
    single test sample: differences of few seeds may be equal because accuracies are counts, so differences that do not
    vary are tested as if both accuracies were rounded to it, with the standard deviation `resolution / sqrt(6)`.
    """
    check(delta, alpha)
    table = np.asarray(differences, dtype=np.float64)
    if table.size == 0:
        return []
    change = table.mean(axis=1)
    if table.shape[1] == 1:
        return [
            PairedEvidence(change=value, lower=None, upper=None, p=1.0, delta=delta, level=alpha)
            for value in change.tolist()
        ]
    errors, freedom = steadied_errors(table, common_spread(table) if common is None else common)
    errors[(np.abs(table) <= ROUNDING).all(axis=1)] = 0
    half = special.stdtrit(freedom, 1 - alpha) * errors
    constant = (errors == 0) & (change < -delta - ROUNDING)
    errors[constant] = resolution / math.sqrt(6 * table.shape[1])
    p = chance_of_less(np.where(errors == 0, change + delta, change), errors, freedom)
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
