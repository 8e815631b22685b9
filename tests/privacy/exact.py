"""Privacy profiles by other means: in fifty digits, and by integration. Shares no code with the accountant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from scipy import integrate, stats

mpmath.mp.dps = 50


def gaussian(epsilon: float, mu: float) -> float:
    """Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2) in fifty digits."""
    e, m = mpmath.mpf(epsilon), mpmath.mpf(mu)
    return float(mpmath.ncdf(-e / m + m / 2) - mpmath.exp(e) * mpmath.ncdf(-e / m - m / 2))


def mixtures(rate: float, shift: float, kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The densities of P and Q at y."""

    def both(y: Any, center: float) -> Any:
        return (1 - rate) * stats.norm.pdf(y) + rate * stats.norm.pdf(y - center)

    def drawn(y: Any) -> Any:
        return both(y, shift)

    def absent(y: Any) -> Any:
        return stats.norm.pdf(y)

    def opposite(y: Any) -> Any:
        return both(y, -shift)

    return {"remove": (drawn, absent), "add": (absent, drawn), "exchange": (drawn, opposite)}[kind]


def profile(epsilon: float, rate: float, shift: float, kind: str) -> float:
    """∫ (p − e^ε q)₊ by quadrature."""
    p, q = mixtures(rate, shift, kind)
    grid = np.linspace(-14 - shift, 14 + shift, 400_001)
    values = np.maximum(p(grid) - np.exp(epsilon) * q(grid), 0.0)
    return float(integrate.simpson(values, x=grid))


def twice(epsilon: float, rate: float, shift: float, kind: str) -> float:
    """The profile of two releases: the double integral of (p p − e^ε q q)₊."""
    p, q = mixtures(rate, shift, kind)
    grid = np.linspace(-8 - shift, 8 + shift, 1201)
    step = grid[1] - grid[0]
    one_p, one_q = p(grid), q(grid)
    joint = np.maximum(np.outer(one_p, one_p) - np.exp(epsilon) * np.outer(one_q, one_q), 0.0)
    return float(joint.sum() * step * step)


def bracket(epsilon: float, rate: float, shift: float, kind: str, rounds: int, step: float) -> tuple[float, float]:
    """Bounds of δ of many releases: all losses rounded down to a grid, and all rounded up; plain Fourier transform."""
    p, q = mixtures(rate, shift, kind)
    ends = np.linspace(-12 - shift, 12 + shift, 200_001)
    with np.errstate(divide="ignore"):
        losses = np.log(p(ends)) - np.log(q(ends))
    centers = {"remove": (0.0, shift), "add": (0.0, 0.0), "exchange": (0.0, shift)}[kind]
    below = (1 - rate) * stats.norm.cdf(ends - centers[0]) + rate * stats.norm.cdf(ends - centers[1])
    mass = np.diff(below)
    size = 2**19
    bounds = []
    for place in (
        np.floor(np.minimum(losses[:-1], losses[1:]) / step).astype(int),
        np.ceil(np.maximum(losses[:-1], losses[1:]) / step).astype(int),
    ):
        one = np.bincount(place % size, weights=mass, minlength=size)
        together = np.fft.irfft(np.fft.rfft(one) ** rounds, n=size)
        sums = step * np.where(np.arange(size) < size // 2, np.arange(size), np.arange(size) - size)
        bounds.append(float((np.maximum(together, 0) * np.maximum(0.0, -np.expm1(epsilon - sums))).sum()))
    return bounds[0], bounds[1] + rounds * 1e-13
