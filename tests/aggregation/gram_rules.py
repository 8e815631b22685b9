"""Rows of the table of rules, with their oracles: rules whose weights follow from geometry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from robustfl.defenses import ARC, CAF, CGE, MDA, NNM, SMEA, GeometricMedian, Mean, TrimmedMean
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least
from tests.aggregation.oracles import Matrix


def subsets(n: int, f: int) -> list[list[int]]:
    """All choices of n - f rows, in lexicographic order."""
    return [list(chosen) for chosen in combinations(range(n), n - f)]


def diameter(x: Matrix) -> float:
    return max((oracles.length(a - b) for a, b in combinations(x, 2)), default=0.0)


def covariance(x: Matrix, trust: Matrix) -> Matrix:
    """The covariance [d, d] of rows that count `trust` times."""
    center = trust @ x / trust.sum()
    total = np.zeros((x.shape[1], x.shape[1]))
    for row, count in zip(x, trust, strict=True):
        total += count * np.outer(row - center, row - center)
    return total / float(trust.sum())


def top_variance(x: Matrix) -> float:
    """The variance of the rows in the direction in which they vary most."""
    return float(np.linalg.eigvalsh(covariance(x, np.ones(len(x))))[-1])


def mda(x: Matrix, f: int) -> Matrix:
    return oracles.mean(x[min(subsets(len(x), f), key=lambda chosen: diameter(x[chosen]))])


def smea(x: Matrix, f: int) -> Matrix:
    return oracles.mean(x[min(subsets(len(x), f), key=lambda chosen: top_variance(x[chosen]))])


def caf(x: Matrix, f: int) -> Matrix:
    trust = np.ones(len(x))
    best, answer = np.inf, oracles.mean(x)
    while trust.sum() > len(x) - 2 * f:
        center = trust @ x / trust.sum()
        variances, directions = np.linalg.eigh(covariance(x, trust))
        if variances[-1] < best:
            best, answer = variances[-1], center
        tau = [float(directions[:, -1] @ (row - center)) ** 2 for row in x]
        most = max(t for t, c in zip(tau, trust, strict=True) if c > 0)
        if most == 0:
            break
        trust = np.array([max(c * (1 - t / most), 0.0) for t, c in zip(tau, trust, strict=True)])
    return answer


def cge(x: Matrix, f: int) -> Matrix:
    return oracles.mean(np.array(sorted(x, key=oracles.length)[: len(x) - f]))


def arc(x: Matrix, f: int) -> Matrix:
    norms = sorted((oracles.length(row) for row in x), reverse=True)
    return oracles.clip_all(x, norms[2 * f * (len(x) - f) // len(x)])


RULES: list[Case] = [
    Case(
        "mda",
        lambda f: MDA(f=f),
        mda,
        at_least(2, 1),
        permutation=False,  # subsets that share their farthest pair are equally good, and the first one counts
    ),
    Case("smea", lambda f: SMEA(f=f), smea, at_least(2, 1)),
    Case("caf", lambda f: CAF(f=f), caf, at_least(2, 1)),
    Case("cge", lambda f: CGE(f=f), cge, at_least(2, 1), translation=False),
    Case("nnm, caf", lambda f: NNM(f=f) >> CAF(f=f), lambda x, f: caf(oracles.nnm(x, f), f), at_least(2, 1)),
    Case(
        "arc, mean",
        lambda f: ARC(f=f) >> Mean(),
        lambda x, f: oracles.mean(arc(x, f)),
        at_least(2, 1),
        translation=False,
        box=False,
    ),
    Case(
        "arc, geometric median",
        lambda f: ARC(f=f) >> GeometricMedian(iterations=20_000, tolerance=1e-13),
        lambda x, f: oracles.geometric_median(arc(x, f)),
        at_least(2, 1),
        translation=False,
        box=False,
        tolerance=1e-6,
    ),
    Case(
        "arc, nnm, trimmed mean",
        lambda f: ARC(f=f) >> NNM(f=f) >> TrimmedMean(f=f),
        lambda x, f: oracles.trimmed_mean(oracles.nnm(arc(x, f), f), f),
        at_least(2, 1),
        translation=False,
        rotation=False,
        box=False,
    ),
]


def with_distant_rows(scale: float, spread: str) -> Iterator[Matrix]:
    """Ten times 12 rows, of which the first three are distant."""
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=(12, 6))
        x[:3] = {
            "one place": np.ones((3, 6)),
            "one line": np.outer([1.0, -2.0, 3.5], np.ones(6)),
            "apart": np.eye(3, 6),
        }[spread] * scale
        yield x
