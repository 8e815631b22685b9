"""How well scores tell members from others: the true positive rate at a small false positive rate, and the area.

The average of an attack over all samples hides what it does to the few of whom it is sure. So the rate of members that
it finds is read where it accuses almost nobody falsely (Carlini et al., "Membership Inference Attacks From First
Principles", S&P 2022).

>>> import numpy as np
>>> scores = np.array([9.0, 3.0, 2.0, 2.0, 1.0, 0.0])
>>> members = np.array([True, True, False, True, False, False])
>>> round(true_positive_rate(scores, members, fpr=0.0), 3)  # two of three members are above every other
0.667
>>> round(area(scores, members), 3)
0.944
>>> Estimate.over([0.25, 0.75, 0.5])
Estimate(mean=0.5, error=0.14433756729740646)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustfl.errors import ParameterError
from robustfl.privacy.pairs import FloatArray

Mask = NDArray[np.bool_]

FEWEST_FALSE = 10
"""A rate of false positives is measured where it allows at least so many of them; below, it is a matter of chance."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """The mean over several targets, and its standard error; the error is None for a single target."""

    mean: float
    error: float | None

    @classmethod
    def over(cls, values: Sequence[float]) -> Estimate:
        """The estimate from one value per target.

        Formula: ``error = s / √k`` with the sample deviation s of k values. Targets are the units, never samples: the
        samples of one target share one model, so their errors are not independent.
        """
        if not len(values) or not np.isfinite(values).all():
            raise ParameterError(f"An estimate needs finite values, one per target. Found {list(values)}.")
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(float(np.mean(values)), error)


def false_positives(others: int, fpr: float) -> int:
    """How many of so many others may be accused at this rate: the floor of their product, but for rounding."""
    return int(fpr * others + _ROUNDING)


def true_positive_rate(scores: ArrayLike, members: ArrayLike, *, fpr: float) -> float:
    """The share of members whose score is above a threshold that at most ``⌊fpr · others⌋`` others exceed.

    The threshold is the highest score of the others that may not be accused, and only strictly higher scores are above
    it: where scores are equal nobody is accused, so ties never help. Infinite scores are ordered like numbers. At a
    rate of 1 everybody is accused.

    Shapes: scores [m], members [m] of truth values. Cost: O(m log m).

    Raises ParameterError for NaN, for `fpr` outside [0, 1], and where there are no members or no others.
    """
    values, inside = _checked(scores, members)
    if not 0 <= fpr <= 1:
        raise ParameterError(f"`fpr` should satisfy 0 <= fpr <= 1. Found fpr={fpr}.")
    return _rate(values[inside], values[~inside], fpr)


def area(scores: ArrayLike, members: ArrayLike) -> float:
    """The probability that a member has a higher score than another sample; equal scores count half (the AUC).

    Shapes, cost and errors are those of :func:`true_positive_rate`.
    """
    values, inside = _checked(scores, members)
    found, others = values[inside], np.sort(values[~inside])
    below = np.searchsorted(others, found, side="left") + np.searchsorted(others, found, side="right")
    return float(below.mean() / (2 * len(others)))


def pooled_rate(scores: Sequence[ArrayLike], members: Sequence[ArrayLike], *, fpr: float) -> Estimate | None:
    """The true positive rate at one threshold for all targets, or None where `fpr` allows too few false positives.

    Scores of all targets are pooled, so they have to be on one scale, such as standard deviations. This reaches rates
    that are too small for the others of a single target. The standard error is that of the jackknife, which leaves out
    one target after the other: ``error² = (k − 1)/k Σ (r₋ⱼ − r̄)²``. It holds for the choice of the threshold as well.

    Shapes: k targets, each with scores [m] and members [m]. Cost: k + 1 sorts of all scores.

    Returns None when ``fpr`` times the number of all others is below 10.
    """
    pairs = [_checked(values, inside) for values, inside in zip(scores, members, strict=True)]
    if not pairs:
        raise ParameterError("`scores` should hold those of at least one target. Found none.")
    if fpr * sum(int((~inside).sum()) for _, inside in pairs) < FEWEST_FALSE - _ROUNDING:
        return None
    whole = _pooled(pairs, fpr)
    k = len(pairs)
    if k == 1:
        return Estimate(whole, None)
    left = np.array([_pooled(pairs[:place] + pairs[place + 1 :], fpr) for place in range(k)])
    return Estimate(whole, math.sqrt((k - 1) / k * float(((left - left.mean()) ** 2).sum())))


def _pooled(pairs: Sequence[tuple[FloatArray, Mask]], fpr: float) -> float:
    found = np.concatenate([values[inside] for values, inside in pairs])
    return _rate(found, np.concatenate([values[~inside] for values, inside in pairs]), fpr)


def _rate(members: FloatArray, others: FloatArray, fpr: float) -> float:
    place = len(others) - 1 - false_positives(len(others), fpr)
    return float(np.mean(members > np.partition(others, place)[place])) if place >= 0 else 1.0


def _checked(scores: ArrayLike, members: ArrayLike) -> tuple[FloatArray, Mask]:
    values, inside = np.asarray(scores, dtype=np.float64), np.asarray(members)
    if values.ndim != 1 or inside.shape != values.shape or inside.dtype != np.bool_:
        raise ParameterError(
            "`scores` should be one number and `members` one truth value for each sample. Found "
            f"{list(values.shape)} and {inside.dtype} {list(inside.shape)}."
        )
    if np.isnan(values).any():
        raise ParameterError(
            f"Scores should be numbers. Found NaN {int(np.isnan(values).sum())} times. A model that gives no numbers "
            "has diverged; leave it out."
        )
    if inside.all() or not inside.any():
        raise ParameterError(
            f"Rates need members and others. Found {int(inside.sum())} members among {len(inside)} samples."
        )
    return values, inside
