"""Lower bounds of ε from a single run: many records are in or out by the toss of a coin, and the outcome is guessed.

Each of m records ("canaries") takes part with probability 1/2, independently. From the answers one guesses for r of
them whether they took part, and abstains from the rest; v guesses are right. A private mechanism keeps v near r/2.

Two tests of a claim are here. The one of Steinke, Nasr and Jagielski ("Privacy Auditing with One (1) Training Run",
NeurIPS 2023) assumes nothing but (ε, δ). The one of Mahloujifar, Melis and Chaudhuri ("Auditing f-Differential Privacy
in One Run", ICML 2025) is tighter, and is about a whole trade-off curve f: it can refute that curve, and an ε only
among the curves of one family. Scores without any signal give bounds of 0, since a guess is right half of the time.

>>> round(steinke_bound(1000, 200, 190, delta=1e-5), 5)
2.39362
>>> round(f_dp_bound(100, 100, 75, delta=1e-4), 3)
1.333
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from scipy import special

from robustfl.errors import ParameterError
from robustfl.privacy.bounds import gaussian_epsilon
from robustfl.privacy.pairs import FloatArray

Hidden = Callable[[float], float]
"""`x ↦ f(1 − x)` of a symmetric trade-off curve f: the least probability of an event under one of two neighbouring data
sets, when it is x under the other. It grows from 0 at 0 to 1 at 1 and lies below x."""

_NORMAL = NormalDist()
_LARGEST = 200.0
_FINE = 1e-6


def steinke_p_value(canaries: int, guesses: int, right: int, *, epsilon: float, delta: float) -> float:
    """The largest probability of at least `right` right guesses when the mechanism is (ε, δ)-private.

    `P[Bin(r, q) ≥ v] + 2 m δ max_{1≤i≤v} P[v − i ≤ Bin(r, q) < v] / i` with `q = 1 / (1 + e^{−ε})`.
    """
    _check(canaries, guesses, right)
    if right == 0:
        return 1.0
    chance = 1 / (1 + math.exp(-epsilon))
    at_least = float(special.bdtrc(right - 1, guesses, chance))
    if delta == 0:
        return min(1.0, at_least)
    below = np.cumsum(_binomial(guesses, chance, np.arange(right - 1, -1, -1, dtype=np.float64)))
    return min(1.0, at_least + 2 * canaries * delta * float((below / np.arange(1, right + 1)).max()))


def steinke_bound(canaries: int, guesses: int, right: int, *, delta: float, alpha: float = 0.05) -> float:
    """The largest ε that is refuted at the level `alpha`, rounded down; 0 where not even ε = 0 is."""
    return _largest(lambda epsilon: steinke_p_value(canaries, guesses, right, epsilon=epsilon, delta=delta) < alpha)


def f_dp_refuted(canaries: int, guesses: int, right: int, hidden: Hidden, alpha: float = 0.05) -> bool:
    """Whether so many right guesses refute the trade-off curve at the level `alpha`.

    If they had a probability of more than `alpha`, the shares of canaries that are guessed right and wrong would have
    to grow along the curve, from the observed number of right guesses down to none, to more than r/m. `hidden` is
    :func:`gaussian_curve` or :func:`curve_of`. Cost: r evaluations of it.
    """
    _check(canaries, guesses, right)
    right_share, wrong_share = alpha * right / canaries, alpha * (guesses - right) / canaries
    for i in range(right - 1, -1, -1):
        if right_share + wrong_share > guesses / canaries:
            return True
        grown = max(wrong_share, hidden(right_share))
        right_share = min(1.0, right_share + i / (guesses - i) * (grown - wrong_share))
        wrong_share = grown
    return right_share + wrong_share > guesses / canaries


def f_dp_bound(canaries: int, guesses: int, right: int, *, delta: float, alpha: float = 0.05) -> float:
    """The largest ε whose Gaussian curve, the one with this (ε, δ), is refuted; 0 where not even ε = 0 is.

    It is a lower bound of ε for mechanisms whose curve is Gaussian, and an indication for others: `f_dp_refuted` with
    the curve of the mechanism itself is the test to rely on.
    """
    mu = _largest(lambda mu: f_dp_refuted(canaries, guesses, right, gaussian_curve(mu), alpha))
    return gaussian_epsilon(mu, delta)


def gaussian_curve(mu: float) -> Hidden:
    """`x ↦ Φ(Φ⁻¹(x) − μ)`, of one answer N(μ, 1) or N(0, 1)."""

    def hidden(x: float) -> float:
        if not 0 < x < 1:
            return 0.0 if x <= 0 else 1.0
        return 0.5 * math.erfc((mu - _NORMAL.inv_cdf(x)) / math.sqrt(2))

    return hidden


def curve_of(points: Sequence[Sequence[float]]) -> Hidden:
    """The best trade-off curve that follows from points (δ, ε) of a privacy profile, for any mechanism that has them.

    Each point says `f(1 − x) ≥ max(0, 1 − δ − e^ε (1 − x), e^{−ε} (x − δ))`; what is refuted is this set of points.
    """
    finite = [(delta, epsilon) for delta, epsilon in points if epsilon < 700]
    delta = np.array([point[0] for point in finite])
    rising = np.exp([point[1] for point in finite])

    def hidden(x: float) -> float:
        if not finite:
            return 0.0
        return max(0.0, float((1 - delta - rising * (1 - x)).max()), float(((x - delta) / rising).max()))

    return hidden


def ceiling(guesses: int, *, delta: float, alpha: float = 0.05) -> tuple[float, float]:
    """What both bounds, Steinke's and that of f-DP, can reach at most: all of so many guesses are right."""
    return (
        steinke_bound(guesses, guesses, guesses, delta=delta, alpha=alpha),
        f_dp_bound(guesses, guesses, guesses, delta=delta, alpha=alpha),
    )


def _largest(refuted: Callable[[float], bool]) -> float:
    """The largest refuted ε by bisection; what is refuted at ε is refuted below."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        if high > _LARGEST:
            return high
        low, high = high, 2 * high
    while high - low > _FINE:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _binomial(trials: int, chance: float, counts: FloatArray) -> FloatArray:
    """P[Bin(trials, chance) = counts]."""
    logs = special.gammaln(trials + 1) - special.gammaln(counts + 1) - special.gammaln(trials - counts + 1)
    return np.asarray(np.exp(logs + special.xlogy(counts, chance) + special.xlog1py(trials - counts, -chance)))


def _check(canaries: int, guesses: int, right: int) -> None:
    if not 0 <= right <= guesses <= canaries or canaries < 1:
        raise ParameterError(
            "Guesses should satisfy 0 <= right <= guesses <= canaries, and there should be a canary. "
            f"Found right={right}, guesses={guesses}, canaries={canaries}."
        )
