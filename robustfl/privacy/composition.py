"""The privacy of many releases together: distributions of the privacy loss on a grid, composed by Fourier transform.

The losses of independent releases add up, so their distributions are convolved. What is computed here is an upper
bound in every step, never an approximation:

* The loss of each release is rounded to a grid of step h such that the mass of P and of Q in every cell is kept
  (connect the dots: Doroshenko, Ghazi, Kamath, Kumar and Manurangsi, "Connect the Dots: Tighter Discrete
  Approximations of Privacy Loss Distributions", PETS 2022). The profile is then exact on the grid and its upper chord
  in between. What lies beyond the grid counts as revealed, what lies below it is moved up to its first point.
* The convolution is one Fourier transform of a tilted distribution, `p_θ(x) = p(x) e^{θx} / M(θ)`. It has its mass
  where the answer is: rounding errors of a transform are relative to the largest mass, so without the tilt a δ of
  1e-12 would drown in them. The bound of these errors is added to every point.
* The transform is circular. Mass that leaves the window at its lower end comes back at the upper end, which only adds
  to δ; mass beyond the upper end is bounded by Chernoff's inequality, and added.

>>> from robustfl.privacy.pairs import Gaussian, hockey_stick
>>> fifty = Composition([(Gaussian(shift=0.1), 50)])
>>> exact = float(hockey_stick(1.0, 0.1 * 50**0.5))
>>> exact <= fifty.delta(1.0) <= exact * 1.00001
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from robustfl.privacy.pairs import FloatArray, Pair

POINTS = 2**17
"""Of the window in which the sum of the losses is computed."""

UNIT = float(np.finfo(np.float64).eps)
_MOST_POINTS = 2**20
_FINEST = 5e-12
"""The smallest step for one release. Below it, the bound of the rounding errors would outweigh the finer grid."""

_STEEPEST = 4.0
"""The largest tilt, in units of one over the step: a steeper one would lose its next point to underflow."""
_BEYOND = math.log(1e-10)
"""The share of δ, as a logarithm, that may be lost by leaving out what is farther away."""
_ASIDE = math.log(1e-12)
"""What the window may lack of a tilted distribution at each end: it comes back at the other end, and adds to δ."""

_NEAR = 8.0
"""By how much, as a logarithm, a tilt may be worse than the best one; rounding errors grow by as much."""


@dataclass(frozen=True)
class _Sketch:
    """The cumulant generating function K(θ) of the sum of all losses, roughly: it decides where to look, no more."""

    tilts: FloatArray
    cumulants: FloatArray
    spread: float

    @property
    def positive(self) -> tuple[FloatArray, FloatArray]:
        """θ > 0 and K(θ)."""
        keep = self.tilts > 0
        return self.tilts[keep], self.cumulants[keep]

    def top(self, log_delta: float) -> float:
        """A sum of losses that is exceeded with less than the given probability."""
        tilts, cumulants = self.positive
        return float(((cumulants - log_delta) / tilts).min())

    def place(self, exponents: FloatArray) -> tuple[float, float, float]:
        """The tilt to compute with, and the sums between which nearly all of the distribution tilted by it lies.

        `exponents` is Chernoff's exponent for each positive tilt. All tilts near the best one are as good for the
        precision; among them is the one with the narrowest window, whose grid is the finest. The best one itself may
        lie where rare large losses begin to dominate, and the tilted distribution has two humps far apart.
        """
        tilts, cumulants = self.positive
        near = np.flatnonzero(exponents[:-1] <= exponents[:-1].min() + _NEAR)
        ends = [self._ends(float(tilts[k]), float(cumulants[k])) for k in near]
        best = int(np.argmin([abs(high - low) for low, high in ends]))
        return (float(tilts[near[best]]), *ends[best])

    def _ends(self, tilt: float, at: float) -> tuple[float, float]:
        """Chernoff's bounds of both tails of the distribution tilted by `tilt`."""
        lower, higher = self.tilts < tilt, self.tilts > tilt
        low = ((_ASIDE + at - self.cumulants[lower]) / (tilt - self.tilts[lower])).max()
        high = ((self.cumulants[higher] - at - _ASIDE) / (self.tilts[higher] - tilt)).min(initial=math.inf)
        return float(min(low, high)), float(max(low, high))


@dataclass(frozen=True)
class _Window:
    """δ as a function of ε on the grid points `first, first + step, ...`: `δ_k = e^{log_tilted_k} + beyond`."""

    first: float
    step: float
    log_tilted: FloatArray
    beyond: float

    def epsilon(self, delta: float) -> float | None:
        """The smallest ε of this δ; None where the window begins above it, infinity where it ends below it."""
        if delta <= self.beyond:
            return math.inf
        wanted = math.log(delta - self.beyond)
        enough = np.flatnonzero(self.log_tilted <= wanted)
        if not enough.size:
            return math.inf
        k = int(enough[0])
        if k == 0:
            return None
        high, low, aim = np.exp(np.array([self.log_tilted[k - 1], self.log_tilted[k], wanted]) - wanted)
        share = min(1.0, max(0.0, (aim - low) / (high - low))) if high > low else 0.0
        return self.first + k * self.step + math.log1p(share * math.expm1(-self.step))

    def delta(self, epsilon: float) -> float:
        """δ at this ε, which should lie in the window; between grid points δ is linear in e^ε."""
        place = (epsilon - self.first) / self.step
        k = min(max(math.ceil(place), 1), len(self.log_tilted) - 1)
        share = math.expm1(epsilon - self.first - k * self.step) / math.expm1(-self.step)
        high, low = np.exp(np.minimum(self.log_tilted[k - 1 : k + 1], 1.0))
        return float(min(1.0, low + min(1.0, max(0.0, share)) * (high - low) + self.beyond))


class Composition:
    """Independent or adaptively chosen releases, each a dominating pair with how often it is used.

    `points` is the size of the window: more points are tighter, and cost time and memory in proportion. The default
    needs about 0.1 s for an answer, whatever the number of releases. Answers are upper bounds for every value.
    """

    def __init__(self, releases: Sequence[tuple[Pair, int]], points: int = POINTS) -> None:
        self.releases = [(pair, count) for pair, count in releases if count]
        self.points = points

    def epsilon(self, delta: float) -> float:
        """The smallest ε >= 0 with δ(ε) <= `delta`, from above; infinity where there is none."""
        return self.epsilons([delta])[0]

    def epsilons(self, deltas: Sequence[float]) -> list[float]:
        """ε at several δ from one transform, as tight as one by one while they lie within some orders of magnitude."""
        if not self.releases:
            return [0.0] * len(deltas)
        prices = [self._priced(deltas, points) for points in self._grids]
        return [min(ways) for ways in zip(*prices, strict=True)]

    def delta(self, epsilon: float) -> float:
        """δ at an ε >= 0, from above."""
        if not self.releases:
            return 0.0
        tilts, cumulants = self._sketch.positive
        exponents = cumulants - tilts * epsilon + _peak(tilts)
        log_delta = max(float(exponents.min()), -690.0)
        tilt, low, high = self._sketch.place(exponents)
        margin = 0.01 * self._sketch.spread
        low, high = min(low, epsilon - margin), max(high, epsilon + margin, self._sketch.top(log_delta + _BEYOND))
        answers = [self._basic(epsilon)]
        for points in self._grids:
            end = high
            for _ in range(8):
                window = self._window(tilt, low, end, log_delta, points)
                answers.append(window.delta(epsilon))
                if window.beyond <= 0.01 * answers[-1]:
                    break
                end = 2 * end - low
        return min(answers)

    @property
    def _grids(self) -> tuple[int, int]:
        """A fine grid, and a coarse one: its answer is as valid, and tighter where rounding errors are what counts."""
        return self.points, max(self.points // 16, 64)

    def _priced(self, deltas: Sequence[float], points: int) -> list[float]:
        tilts, cumulants = self._sketch.positive
        least, most = math.log(min(deltas)), math.log(max(deltas))
        guess = float(((cumulants + _peak(tilts) - (least + most) / 2) / tilts).min())
        tilt, low, high = self._sketch.place(cumulants - tilts * guess + _peak(tilts))
        high = max(high, self._sketch.top(least + _BEYOND), guess)
        for _ in range(8):
            window = self._window(tilt, low, high, least, points)
            answers = [window.epsilon(delta) for delta in deltas]
            deeper, higher = None in answers and low > 0, math.inf in answers
            if not deeper and not higher:
                break
            low, high = (2 * low - high if deeper else low), (2 * high - low if higher else high)
        prices = [max(0.0, window.first if answer is None else answer) for answer in answers]
        return [
            self._basic_epsilon(delta) if price == math.inf else price
            for price, delta in zip(prices, deltas, strict=True)
        ]

    def _basic(self, epsilon: float) -> float:
        """δ by basic composition: each release at the same share of ε, and their δ added up. Valid, and loose."""
        share = np.array([epsilon / sum(count for _, count in self.releases)])
        return min(
            1.0,
            sum(
                count * float((1.001 * pair.delta(share) + 1e-12 * pair.tails(share).above_p)[0])
                for pair, count in self.releases
            ),
        )

    def _basic_epsilon(self, delta: float) -> float:
        """ε by basic composition."""
        low, high = 0.0, 1.0
        while self._basic(high) > delta:
            low, high = high, 2 * high
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._basic(middle) > delta else (low, middle)
        return high

    @cached_property
    def _sketch(self) -> _Sketch:
        rough, variance, farthest = [], 0.0, 0.0
        for pair, count in self.releases:
            losses = pair.sketch()
            tails = pair.tails(losses)
            mass = np.concatenate([tails.below_p[:1], _between(tails.below_p, tails.above_p)])
            middle = np.concatenate([losses[:1], (losses[:-1] + losses[1:]) / 2])
            variance += count * float(mass @ (middle - mass @ middle) ** 2)
            farthest = max(farthest, float(middle[-1]))
            rough.append((middle, np.log(np.maximum(mass, 1e-320)), count))
        spread = max(math.sqrt(variance), 1e-14)
        # From a tilt that changes nothing, even far out, to one that singles out what is rare.
        least, most = 1e-2 / max(farthest, spread), 300 / spread
        sizes = np.geomspace(least, most, 16 * math.ceil(math.log10(most / least)))
        tilts = np.concatenate([-sizes[::-1], [0.0], sizes])
        cumulants = np.zeros_like(tilts)
        for losses, log_mass, count in rough:
            cumulants += count * special.logsumexp(log_mass + tilts[:, None] * losses, axis=1)
        return _Sketch(tilts, cumulants, spread)

    def _step(self, width: float, total: int, points: int) -> float:
        """The step for a window: its points, and more where many releases would let the rounding of each add up.

        Each release of a composition gets a variance of about h²/6 and a mean of h²/12 from the grid.
        """
        scale = width / 20
        harmless = math.sqrt(6e-4 / total) * min(scale, math.sqrt(scale)) * POINTS / points
        return max(min(width / points, harmless), width / _MOST_POINTS)

    def _window(self, tilt: float, low: float, high: float, log_delta: float, points: int) -> _Window:
        """δ between two sums of losses, from one Fourier transform of the distribution tilted by `tilt`."""
        from scipy import fft  # slow to import

        total = sum(count for _, count in self.releases)
        rare = math.exp(max(log_delta + _BEYOND - math.log(total), -700.0))
        spans = [_span(pair, rare) for pair, _ in self.releases]
        widest = max(end - start for start, end in spans)
        step = max(self._step(high - low, total, points), widest / _MOST_POINTS, _FINEST * math.sqrt(total))
        tilt = min(tilt, _STEEPEST / step)
        start = math.floor(low / step)
        size = fft.next_fast_len(max(math.ceil(high / step) - start, 64) + 1, real=True)
        tilts, cumulants = self._sketch.positive
        end = (start + size - 1) * step
        steeper = float(tilts[(cumulants - tilts * end).argmin()])

        log_moment = log_steeper = log_hidden = 0.0
        parts = []
        for (pair, count), span in zip(self.releases, spans, strict=True):
            first, mass, revealed = discretised(pair, step, *span)
            losses = (first + np.arange(mass.size)) * step
            with np.errstate(divide="ignore"):
                log_mass = np.log(mass)
            moment = float(special.logsumexp(log_mass + tilt * losses))
            tilted = np.exp(log_mass + tilt * losses - moment)
            places = (first + np.arange(mass.size)) % size
            parts.append((np.bincount(places, weights=tilted, minlength=size).astype(np.float64), count))
            log_moment += count * moment
            log_steeper += count * float(special.logsumexp(log_mass + steeper * losses))
            log_hidden += count * math.log1p(-revealed)
        convolved, error = _convolved(parts)
        mass = np.roll(convolved, -(start % size))
        decay = math.exp(-tilt * step)
        above = _discounted(mass, decay)
        weighted = _discounted(mass, decay * math.exp(-step))
        grid = (start + np.arange(size)) * step
        with np.errstate(divide="ignore"):
            # The errors of the logarithms and sums, and by Cauchy and Schwarz those of the masses in the sums.
            slack = 64 * UNIT * (1 + 8 * total) * above + error * decay / math.sqrt(-math.expm1(-2 * tilt * step))
            log_tilted = log_moment - tilt * grid + np.log(np.maximum(above - weighted, 0.0) + slack)
        beyond = math.exp(min(0.0, log_steeper - steeper * end)) - math.expm1(log_hidden)
        return _Window(start * step, step, log_tilted, beyond)


def discretised(pair: Pair, step: float, low: float, high: float) -> tuple[int, FloatArray, float]:
    """The loss of a pair on the multiples of `step`: the number of the first, the mass at each, and what is revealed.

    A cell (u, u + h] with the mass p of P and q of Q is replaced by its ends: `(p − e^u q) / (1 − e^{−h})` goes to the
    upper end, the rest to the lower. That keeps p and q, and raises the profile to its chord. A bound of the rounding
    errors of p and q is moved from the lower to the upper end. All mass above `high` counts as revealed: it is part
    of δ at every ε.
    """
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    grid = np.arange(first, last + 1, dtype=np.float64) * step
    tails = pair.tails(grid)
    mass = _between(tails.below_p, tails.above_p)
    other = _between(tails.below_q, tails.above_q)
    lower = grid[:-1]
    weight = np.exp(np.minimum(lower, 700.0))
    slack = np.minimum(tails.above_p[:-1], tails.below_p[1:])
    slack += weight * np.minimum(tails.above_q[:-1], tails.below_q[1:])
    up = (mass - weight * other + 16 * UNIT * slack) / -math.expm1(-step)
    up = np.where(lower < 700.0, np.clip(up, 0.0, mass), mass)  # where e^u would overflow: to the upper end, all of it
    at = np.zeros(grid.size)
    at[1:] += up
    at[:-1] += mass - up
    at[0] += tails.below_p[0]
    return first, at, float(tails.above_p[-1])


def _between(below: FloatArray, above: FloatArray) -> FloatArray:
    """The mass of each cell, from whichever tail is the smaller one: [k + 1] -> [k]."""
    return np.maximum(np.where(above[:-1] < below[1:], above[:-1] - above[1:], below[1:] - below[:-1]), 0.0)


def _span(pair: Pair, rare: float) -> tuple[float, float]:
    """Losses between which all of P lies but the mass `rare` above, and a mass of no account below."""
    losses = pair.sketch()
    tails = pair.tails(losses)
    high = int(np.searchsorted(-tails.above_p, -rare))
    low = int(np.searchsorted(tails.below_p, 1e-16))
    return float(losses[max(low - 1, 0)]), float(losses[min(high, losses.size - 1)])


def _peak(tilts: FloatArray) -> FloatArray:
    """The logarithm of `max_x (1 − e^{−x}) e^{−θx}`: how far Chernoff's bound of a profile is below that of a tail."""
    return np.asarray(special.xlogy(tilts, tilts / (1 + tilts)) - np.log1p(tilts))


def _discounted(mass: FloatArray, factor: float) -> FloatArray:
    """`a_k = Σ_{j>k} m_j factor^{j−k}` for every k: [n] -> [n]."""
    sums, reach, weight = mass[::-1].copy(), 1, factor
    while reach < sums.size and weight > 0:  # each turn doubles the number of terms
        sums[reach:] += weight * sums[:-reach]
        reach, weight = 2 * reach, weight * weight
    return np.append(factor * sums[-2::-1], 0.0)


def _convolved(parts: list[tuple[FloatArray, int]]) -> tuple[FloatArray, float]:
    """Each distribution [n] convolved with itself as often as it is used, and all of them; circular. -> [n], error

    The error bounds those of all masses in L2 norm. A transform errs by at most `u log₂ n` times the norm of its input
    (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, theorem 24.2), and that of a factor changes the
    product by its count times as much, as no factor is above 1. The largest mass of each distribution stays out of the
    transforms, and so does the product of these while it is large: with tiny sampling rates nearly everything is
    there, and its rounding errors would be larger than a small δ.
    """
    from scipy import fft  # slow to import

    size = parts[0][0].size
    log_atom, place, length = 0.0, 0, 0.0
    exponent = np.zeros(size // 2 + 1, dtype=np.complex128)
    for mass, count in parts:
        peak = int(mass.argmax())
        rest = np.roll(mass, -peak)
        top, rest[0] = float(rest[0]), 0.0
        ratio = fft.rfft(rest) / top
        with np.errstate(divide="ignore"):
            radius = 0.5 * np.log1p(np.maximum(2 * ratio.real + np.abs(ratio) ** 2, -1.0))
        exponent += count * (np.maximum(radius, -700.0) + 1j * np.arctan2(ratio.imag, 1 + ratio.real))
        log_atom += count * math.log(top)
        place += count * peak
        length += count * float(np.linalg.norm(rest))
    if log_atom > -1:
        atom, spectrum = math.exp(log_atom), math.exp(log_atom) * np.expm1(exponent)
    else:
        atom, spectrum = 0.0, np.exp(log_atom + exponent)
    spread = fft.irfft(spectrum, n=size)
    error = 4 * UNIT * math.log2(size) * (length + float(np.linalg.norm(spread)))
    error += 16 * UNIT * float(np.linalg.norm(exponent * spectrum)) / math.sqrt(size)
    spread[0] += atom
    return np.roll(np.maximum(spread, 0.0), place % size), error
