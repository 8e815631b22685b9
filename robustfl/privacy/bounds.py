"""What differential privacy promises in numbers that can be measured, and intervals for what was measured.

A measured success above its bound means that the mechanism or the measurement is wrong.

>>> round(reconstruction_bound(0.01, mu=1.0), 5)
0.09236
>>> low, high = clopper_pearson(0, 500, alpha=0.05)
>>> low, round(high, 5)
(0.0, 0.00735)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from robustfl.errors import ParameterError
from robustfl.privacy.account import Unit
from robustfl.privacy.pairs import FloatArray, hockey_stick
from robustfl.privacy.releases import Relation


def clopper_pearson(successes: int, trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact two-sided interval of a probability; each end errs with probability at most `alpha` / 2.

    It is never too short, whatever the probability and the number of trials (Clopper and Pearson, "The Use of
    Confidence or Fiducial Limits Illustrated in the Case of the Binomial", Biometrika 1934).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ParameterError(
            "`successes` and `trials` should satisfy 0 <= successes <= trials and trials >= 1. "
            f"Found successes={successes}, trials={trials}."
        )
    _check_alpha(alpha)
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, alpha / 2)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - alpha / 2)) if failures else 1.0
    return low, high


def epsilon_from_rates(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    *,
    delta: float = 0.0,
    alpha: float = 0.05,
    records: int = 1,
) -> float:
    """A lower bound of ε from many runs of an attack that tells two neighbouring data sets apart; 0 without evidence.

    `ln((TPR − δ) / FPR) / k` and the same for the negatives, where the rates are the ends of their Clopper–Pearson
    intervals at `alpha` / 2 each side and k = `records` is how many records the data sets differ in. The threshold of
    the attack has to be chosen on other runs (Jagielski, Ullman and Oprea, "Auditing Differentially Private Machine
    Learning: How Private is Private SGD?", NeurIPS 2020).
    """
    _check_alpha(alpha)
    hit, miss = clopper_pearson(true_positives, positives, alpha), clopper_pearson(false_positives, negatives, alpha)
    ratios = [(hit[0] - delta, miss[1]), (1 - miss[1] - delta, 1 - hit[0])]
    return max([0.0, *(math.log(top / bottom) / records for top, bottom in ratios if top > 0 and bottom > 0)])


def membership_bound(fpr: ArrayLike, curve: Iterable[Sequence[float]]) -> FloatArray:
    """The largest true positive rate that any membership inference can have at each false positive rate [k] -> [k].

    `TPR <= min(e^ε FPR + δ, 1 − e^{−ε}(1 − δ − FPR))` for every point (δ, ε) of the `curve`; the least of them counts.
    """
    rate = np.asarray(fpr, dtype=np.float64)
    bound = np.ones_like(rate)
    for delta, epsilon in curve:
        with np.errstate(over="ignore", invalid="ignore"):
            above = np.where(rate > 0, math.exp(min(epsilon, 700.0)) * rate, 0.0) + delta
        bound = np.minimum(bound, np.minimum(above, 1 - math.exp(-epsilon) * (1 - delta - rate)))
    return np.clip(bound, 0.0, 1.0)


def area_bound(curve: Iterable[Sequence[float]]) -> float:
    """The largest area under the curve of TPR over FPR that any membership inference can have.

    It is the mean of :func:`membership_bound` over all rates, from above: the bound rises with the rate, so each of
    4096 intervals counts with its right end. The answer is at most 2.5e-4 too large.
    """
    rates = np.arange(1, 4097, dtype=np.float64) / 4096
    return float(membership_bound(rates, curve).mean())


def example_curve(curve: Iterable[Sequence[float]], unit: Unit, relation: Relation) -> list[tuple[float, float]] | None:
    """The points (δ, ε) that hold for one example more or less in the data of one client; None where none follow.

    Privacy of examples with one more or one less is that already. Privacy of whole clients covers what a client does
    with another data set. Where it is about clients that are exchanged, the client with the example is exchanged for
    the one without. Where it is about one client more or less, that is two steps, and

        two steps of (ε, δ)  are  (2ε, (1 + e^ε) δ).

    Privacy of examples that are exchanged says nothing about an example that is just absent.
    """
    points = [(float(delta), float(epsilon)) for delta, epsilon in curve]
    if unit == "example":
        return points if relation == "add_or_remove" else None
    if relation == "replace_one":
        return points
    return [(min(1.0, (1 + math.exp(min(epsilon, 700.0))) * delta), 2 * epsilon) for delta, epsilon in points]


def reconstruction_bound(prior: float, mu: float) -> float:
    """The largest probability of a success that has the probability `prior` without the answer: `Φ(Φ⁻¹(κ) + μ)`.

    It holds for mechanisms that are μ-Gaussian differentially private: no harder to attack than one answer N(μ, 1) or
    N(0, 1). Full participation in T rounds with the noise multiplier σ has μ = √T / σ. Success is anything that can be
    checked, such as an image that is near enough (Hayes, Mahloujifar and Balle, "Bounding Training Data Reconstruction
    in DP-SGD", NeurIPS 2023).
    """
    if not 0 <= prior <= 1 or not mu >= 0:
        raise ParameterError(f"`prior` should lie in [0, 1] and `mu` be >= 0. Found prior={prior}, mu={mu}.")
    return float(special.ndtr(special.ndtri(prior) + mu)) if 0 < prior < 1 else float(prior)


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The μ of the Gaussian mechanism that is exactly (ε, δ)-differentially private, to 12 digits."""
    if not (epsilon >= 0 and 0 < delta < 1):
        raise ParameterError(f"ε should be >= 0, and δ lie in (0, 1). Found epsilon={epsilon}, delta={delta}.")
    low, high = 0.0, 1.0
    while float(hockey_stick(epsilon, high)) < delta:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if float(hockey_stick(epsilon, middle)) < delta else (low, middle)
    return high


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The ε at this δ of the Gaussian mechanism with this μ, from below: the inverse of :func:`gaussian_mu`."""
    if mu == 0 or float(hockey_stick(0.0, mu)) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while float(hockey_stick(high, mu)) > delta:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if float(hockey_stick(middle, mu)) > delta else (low, middle)
    return low


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ParameterError(f"`alpha` should satisfy 0 < alpha < 1. Found alpha={alpha}.")
