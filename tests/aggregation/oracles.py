"""Naive references in float64: loops over rows and columns that share no code with the package."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Oracle = Callable[[Matrix, int], Matrix]
"""(rows [n, d], f) -> aggregate [d]"""


def mean(x: Matrix, f: int = 0) -> Matrix:
    return np.array([math.fsum(column) / len(x) for column in x.T])


def median(x: Matrix, f: int = 0) -> Matrix:
    return np.array([statistics.median(column.tolist()) for column in x.T])


def trimmed_mean(x: Matrix, f: int) -> Matrix:
    return np.array([math.fsum(sorted(column)[f : len(x) - f]) / (len(x) - 2 * f) for column in x.T])


def length(v: Matrix) -> float:
    return math.hypot(*v.tolist())


def krum_scores(x: Matrix, neighbours: int, power: int = 2) -> list[float]:
    scores = []
    for i in range(len(x)):
        others = sorted(length(x[i] - x[j]) ** power for j in range(len(x)) if j != i)
        scores.append(math.fsum(others[:neighbours]))
    return scores


def best_rows(x: Matrix, neighbours: int, count: int, power: int = 2) -> list[int]:
    scores = krum_scores(x, neighbours, power)
    return sorted(range(len(x)), key=lambda row: scores[row])[:count]


def krum(extra: int = 2, power: int = 2) -> Oracle:
    """Krum with n - f - extra neighbours."""
    return lambda x, f: x[best_rows(x, len(x) - f - extra, 1, power)[0]]


def multi_krum(k: int | None = None, extra: int = 2) -> Oracle:
    def rule(x: Matrix, f: int) -> Matrix:
        neighbours = len(x) - f - extra
        return mean(x[best_rows(x, neighbours, k or len(x) - f - 2)])

    return rule


def geometric_median(x: Matrix, f: int = 0) -> Matrix:
    """Newton's method with halving on the sum of distances, smoothed so weakly that it cannot be seen."""
    unit = float(np.median([length(row - median(x)) for row in x])) or 1.0
    y, soft = median(x), 1e-8 * unit

    def objective(point: Matrix) -> float:
        return math.fsum(math.hypot(length(row - point), soft) for row in x)

    for _ in range(200):
        gradient, hessian = np.zeros(len(y)), np.zeros((len(y), len(y)))
        for row in x:
            away, reach = y - row, math.hypot(length(y - row), soft)
            gradient += away / reach
            hessian += np.eye(len(y)) / reach - np.outer(away, away) / reach**3
        step: Matrix = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        share = 1.0
        while objective(y - share * step) > objective(y) and share > 1e-12:
            share /= 2
        y = y - share * step
        if length(step) < 1e-13 * unit:
            break
    return y


def weiszfeld(iterations: int, smoothing: float, at_mean: bool) -> Oracle:
    """The published RFA: a fixed number of smoothed steps."""

    def rule(x: Matrix, f: int = 0) -> Matrix:
        y = mean(x) if at_mean else np.zeros(x.shape[1])
        for _ in range(iterations):
            pull = [1.0 / max(smoothing, length(row - y)) for row in x]
            y = sum((b * row for b, row in zip(pull, x, strict=True)), np.zeros(x.shape[1])) / math.fsum(pull)
        return y

    return rule


def clipped(row: Matrix, radius: float) -> Matrix:
    return row * min(1.0, radius / length(row)) if length(row) > 0 else row


def centered_clipping(radius: float | None, iterations: int, center: Matrix | None = None) -> Oracle:
    def rule(x: Matrix, f: int = 0) -> Matrix:
        v = np.zeros(x.shape[1]) if center is None else center
        for _ in range(iterations):
            reach = radius if radius is not None else statistics.median(length(row - v) for row in x)
            v = v + mean(np.array([clipped(row - v, reach) for row in x]))
        return v

    return rule


# What pre-aggregations make of the rows.


def nnm(x: Matrix, f: int) -> Matrix:
    mixed = []
    for i in range(len(x)):
        near = sorted(range(len(x)), key=lambda j, i=i: (j != i, length(x[i] - x[j])))  # type: ignore[misc]
        mixed.append(mean(x[near[: len(x) - f]]))
    return np.array(mixed)


def buckets(x: Matrix, size: int, seed: int = 0, number: int = 0) -> Matrix:
    """Means of consecutive groups of the permutation that the documentation promises for this seed and call."""
    order = np.random.default_rng([seed, number]).permutation(len(x))
    return np.array([mean(x[order[start : start + size]]) for start in range(0, len(x), size)])


def clip_all(x: Matrix, radius: float | None = None) -> Matrix:
    reach = radius if radius is not None else statistics.median(length(row) for row in x)
    return np.array([clipped(row, reach) for row in x])
