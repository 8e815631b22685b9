"""What one release can betray, exactly: pairs of distributions that dominate all neighbouring data sets.

A mechanism answers with a sample of P when somebody's record is there, and with a sample of Q when it is not (or when
another record stands in its place). The privacy loss of an answer y is L = log P(y)/Q(y), and the privacy profile is

    δ(ε) = E_P[(1 − e^{ε−L})₊] = P(L > ε) − e^ε Q(L > ε).

A pair dominates a mechanism when its profile is at least that of every neighbouring pair of data sets. Compositions of
mechanisms are then dominated by products of their pairs (Zhu, Dong and Wang, "Optimal Accounting of Differential
Privacy via Characteristic Function", AISTATS 2022). The pairs below are tight: some neighbours reach them.

All of them are made of unit Gaussians whose means are `shift` apart, which is the sensitivity divided by the standard
deviation of the noise.

>>> round(float(Gaussian(shift=1.0).delta(1.0)), 6)
0.126937
>>> round(float(Removed(rate=0.1, shift=1.0).delta(0.0)), 6)  # the first, sampled with rate 0.1
0.038292
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]

FARTHEST = 38.0
"""In standard deviations: beyond it a Gaussian has less mass than the smallest double."""

NODES = 1200
"""Of the sketch of a distribution."""


class Tails(NamedTuple):
    """The mass of P and of Q above each loss x, `L > x`, and up to it, `L ≤ x`. Each is [k]; each pair adds up to 1."""

    above_p: FloatArray
    above_q: FloatArray
    below_p: FloatArray
    below_q: FloatArray


class Pair(Protocol):
    """A dominating pair (P, Q)."""

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        """The privacy profile at each ε [k] -> [k]; ε may be negative."""

    def tails(self, losses: FloatArray) -> Tails:
        """The mass on both sides of each loss [k]; small tails keep their relative precision."""

    def sketch(self) -> FloatArray:
        """Increasing losses that cover all but a mass of 1e-300, dense where the mass is."""


def hockey_stick(epsilon: ArrayLike, shift: float) -> FloatArray:
    """The profile of two unit Gaussians at distance μ = `shift`: `δ(ε) = Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2)`.

    `epsilon` is [k] -> [k]. Both terms are written with the scaled complementary error function, so that nothing
    overflows, and so that values far below the rounding unit of 1 keep 12 digits, also where μ is tiny and the terms
    nearly cancel (Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML 2018).
    """
    level = np.asarray(epsilon, dtype=np.float64)
    size = np.abs(level)
    near, far = size / shift - shift / 2, size / shift + shift / 2
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        scale = np.exp(-(near**2) / 2) / 2
        tail = scale * _erfcx_drop(near / math.sqrt(2), shift / math.sqrt(2))
        body = special.ndtr(-near) - scale * special.erfcx(far / math.sqrt(2))
    positive = np.maximum(np.where(near > -10, tail, body), 0.0)
    return np.where(level >= 0, positive, -np.expm1(-size) + np.exp(-size) * positive)


def _erfcx_drop(start: FloatArray, width: float) -> FloatArray:
    """`erfcx(x) − erfcx(x + w)`; over a small width the integral of the slope, since the difference would cancel."""
    if width > 0.1:
        return np.asarray(special.erfcx(start) - special.erfcx(start + width))
    nodes, weights = np.polynomial.legendre.leggauss(6)
    places = start[..., None] + width * (nodes + 1) / 2
    slopes = 2 / math.sqrt(math.pi) - 2 * places * special.erfcx(places)
    return np.asarray(slopes @ weights * width / 2)


@dataclass(frozen=True)
class Gaussian:
    """P = N(μ, 1) and Q = N(0, 1): everybody takes part. The loss is N(±μ²/2, μ²), so the pair is its own reverse."""

    shift: float

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        return hockey_stick(epsilon, self.shift)

    def tails(self, losses: FloatArray) -> Tails:
        of_p = losses / self.shift - self.shift / 2
        of_q = losses / self.shift + self.shift / 2
        return Tails(special.ndtr(-of_p), special.ndtr(-of_q), special.ndtr(of_p), special.ndtr(of_q))

    def sketch(self) -> FloatArray:
        return self.shift * np.linspace(-FARTHEST, FARTHEST, NODES) + self.shift**2 / 2


@dataclass(frozen=True)
class Removed:
    """P = (1 − q) N(0, 1) + q N(μ, 1) and Q = N(0, 1): a record that took part with probability q is removed.

    The losses are at least log(1 − q), since an answer never tells more against a record than that it was not drawn.
    """

    rate: float
    shift: float

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        level = np.asarray(epsilon, dtype=np.float64)
        without = math.log1p(-self.rate) if self.rate < 1 else -math.inf
        with np.errstate(invalid="ignore", divide="ignore"):
            amplified = self.rate * hockey_stick(self.raised(level), self.shift)
        return np.where(level > without, amplified, -np.expm1(np.minimum(level, 0.0)))

    def tails(self, losses: FloatArray) -> Tails:
        with np.errstate(invalid="ignore", divide="ignore"):
            place = (self.raised(losses) + self.shift**2 / 2) / self.shift
        q, moved = self.rate, place - self.shift
        return Tails(
            (1 - q) * special.ndtr(-place) + q * special.ndtr(-moved),
            special.ndtr(-place),
            (1 - q) * special.ndtr(place) + q * special.ndtr(moved),
            special.ndtr(place),
        )

    def sketch(self) -> FloatArray:
        span = np.linspace(-FARTHEST, FARTHEST, NODES)
        places = np.concatenate([span, span + self.shift])
        evidence = self.shift * places - self.shift**2 / 2
        absent = math.log1p(-self.rate) if self.rate < 1 else -math.inf
        with np.errstate(over="ignore"):
            near = np.log1p(self.rate * np.expm1(np.minimum(evidence, 1.0)))  # exact where the rate is tiny
        return np.unique(np.where(evidence <= 1.0, near, np.logaddexp(absent, math.log(self.rate) + evidence)))

    def raised(self, level: FloatArray) -> FloatArray:
        """What the loss x = `level` would be without sampling: log((e^x − 1 + q)/q), and −∞ below log(1 − q)."""
        with np.errstate(over="ignore", divide="ignore"):
            near = np.expm1(np.minimum(level, 1.0)) + self.rate
            deep = np.exp(np.minimum(level, 0.0)) - (1 - self.rate)  # without cancellation where the rate is near 1
            low = np.log(np.maximum(np.where(level < -0.7, deep, near), 0.0) / self.rate)
            high = level + np.log1p(-(1 - self.rate) * np.exp(-np.maximum(level, 1.0))) - math.log(self.rate)
        return np.where(level <= 1.0, low, high)


@dataclass(frozen=True)
class Added:
    """The reverse of :class:`Removed`: a record that takes part with probability q is added. Losses change their sign.

    They are at most −log(1 − q), so that ε is bounded even for δ = 0. With x = log((e^{−ε} − 1 + q)/q) the profile is
    `δ(ε) = q e^{ε + x} G(−x; μ)`, where G is :func:`hockey_stick`.
    """

    rate: float
    shift: float

    @property
    def other(self) -> Removed:
        """The pair in the other direction."""
        return Removed(self.rate, self.shift)

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        level = np.asarray(epsilon, dtype=np.float64)
        raised = self.other.raised(-level)
        with np.errstate(over="ignore", invalid="ignore"):
            profile = self.rate * np.exp(level + raised) * hockey_stick(-raised, self.shift)
        return np.where(raised > -math.inf, profile, 0.0)

    def tails(self, losses: FloatArray) -> Tails:
        flipped = self.other.tails(-losses)  # without atoms, `<` and `≤` are the same
        return Tails(flipped.below_q, flipped.below_p, flipped.above_q, flipped.above_p)

    def sketch(self) -> FloatArray:
        return -self.other.sketch()[::-1]


@dataclass(frozen=True)
class Cohort:
    """One of n clients is replaced, and a cohort of fixed size k is drawn without replacement; q = k/n.

    `δ(ε) = q G(log(1 + (e^ε − 1)/q); μ)` for ε ≥ 0, where μ is for a replaced member of the cohort; whoever may be
    replaced may also be put back, so `δ(−ε) = 1 − e^{−ε} + e^{−ε} δ(ε)`. The positive losses are those of
    :class:`Removed`, the negative ones those of its reverse, and what remains is an atom at 0 (Balle, Barthe and
    Gaboardi, "Privacy Amplification by Subsampling: Tight Analyses via Couplings and Divergences", NeurIPS 2018).
    """

    rate: float
    shift: float

    @property
    def half(self) -> Removed:
        """The pair whose positive losses are those of this one."""
        return Removed(self.rate, self.shift)

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        level = np.asarray(epsilon, dtype=np.float64)
        size = np.abs(level)
        positive = self.half.delta(size)
        return np.where(level >= 0, positive, -np.expm1(-size) + np.exp(-size) * positive)

    def tails(self, losses: FloatArray) -> Tails:
        beyond = self.half.tails(np.abs(losses))
        positive = losses >= 0
        small_p = np.where(positive, beyond.above_p, beyond.above_q)
        small_q = np.where(positive, beyond.above_q, beyond.above_p)
        return Tails(
            np.where(positive, small_p, 1 - small_p),
            np.where(positive, small_q, 1 - small_q),
            np.where(positive, 1 - small_p, small_p),
            np.where(positive, 1 - small_q, small_q),
        )

    def sketch(self) -> FloatArray:
        half = self.half.sketch()
        positive = half[half > 0]
        return np.concatenate([-positive[::-1], [0.0], positive])


@dataclass(frozen=True)
class Exchanged:
    """P = (1 − q) N(0, 1) + q N(μ, 1) and Q = (1 − q) N(0, 1) + q N(−μ, 1).

    A record that takes part with probability q < 1 is replaced by its opposite, and is drawn or not independently of
    which of the two is there. The pair is its own reverse. Its profile is a difference, right to 1e-13 of P(L > ε).
    """

    rate: float
    shift: float

    def delta(self, epsilon: ArrayLike) -> FloatArray:
        level = np.asarray(epsilon, dtype=np.float64)
        size, q = np.abs(level), self.rate
        place = self._place(size)
        absent, opposite = special.log_ndtr(-place), special.log_ndtr(-place - self.shift)
        weighted = np.exp(size + np.logaddexp(math.log1p(-q) + absent, math.log(q) + opposite))
        positive = np.maximum(self.tails(size).above_p - weighted, 0.0)
        return np.asarray(np.where(level >= 0, positive, -np.expm1(-size) + np.exp(-size) * positive))

    def tails(self, losses: FloatArray) -> Tails:
        q, place = self.rate, self._place(losses)
        up, down = place - self.shift, place + self.shift
        return Tails(
            (1 - q) * special.ndtr(-place) + q * special.ndtr(-up),
            (1 - q) * special.ndtr(-place) + q * special.ndtr(-down),
            (1 - q) * special.ndtr(place) + q * special.ndtr(up),
            (1 - q) * special.ndtr(place) + q * special.ndtr(down),
        )

    def _place(self, losses: FloatArray) -> FloatArray:
        """The answer y of each loss x: `μ y = x/2 + asinh((1 − q)/q e^{μ²/2} sinh(x/2))`."""
        size = np.abs(losses) / 2
        with np.errstate(divide="ignore"):
            log_sinh = np.where(size > 20, size - math.log(2), np.log(np.sinh(np.minimum(size, 20.0))))
        spread = math.log1p(-self.rate) - math.log(self.rate) + self.shift**2 / 2 + log_sinh
        turned = np.where(spread > 300, spread + math.log(2), np.arcsinh(np.exp(np.minimum(spread, 300.0))))
        return np.asarray(np.sign(losses) * (size + turned) / self.shift)

    def sketch(self) -> FloatArray:
        span = np.linspace(-FARTHEST, FARTHEST, NODES)
        half = np.concatenate([span, span + self.shift])
        places = np.concatenate([half, -half])
        absent, drawn = math.log1p(-self.rate), math.log(self.rate) - self.shift**2 / 2
        towards, against = drawn + self.shift * places, drawn - self.shift * places
        return np.unique(np.logaddexp(absent, towards) - np.logaddexp(absent, against))
