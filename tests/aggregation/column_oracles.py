"""Naive references for rules on columns, signs, clusters and trusted updates, without any code of the package."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np

from tests.aggregation import oracles
from tests.aggregation.oracles import Matrix, Oracle, length


def nearest_mean(column: list[float], centre: float, count: int) -> float:
    """The mean of the `count` values nearest to `centre`; sorting is stable, so of two equally near the first wins."""
    return math.fsum(sorted(column, key=lambda value: abs(value - centre))[:count]) / count


def meamed(x: Matrix, f: int) -> Matrix:
    return np.array([nearest_mean(c.tolist(), statistics.median(c.tolist()), len(x) - f) for c in x.T])


def phocas(x: Matrix, f: int) -> Matrix:
    centres = oracles.trimmed_mean(x, f)
    return np.array([nearest_mean(c.tolist(), t, len(x) - f) for c, t in zip(x.T, centres, strict=True)])


def bulyan_selection(x: Matrix, f: int) -> list[int]:
    """The rows that Krum picks one after the other."""
    left = list(range(len(x)))
    selected: list[int] = []
    while len(selected) < len(x) - 2 * f:
        neighbours = max(1, len(left) - f - 2)
        scores = oracles.krum_scores(x[left], neighbours)
        selected.append(left.pop(scores.index(min(scores))))
    return selected


def bulyan(x: Matrix, f: int) -> Matrix:
    chosen = x[sorted(bulyan_selection(x, f))]
    count = len(x) - 4 * f
    return np.array([nearest_mean(c.tolist(), statistics.median(c.tolist()), count) for c in chosen.T])


def dnc_weights(
    x: Matrix, f: int, iterations: int = 1, removal: float = 1.0, columns: int = 10_000, seed: int = 0, number: int = 0
) -> Matrix:
    """The weight of every row, by a singular value decomposition of each sample of columns."""
    n, d = x.shape
    kept, memberships, total = n - math.floor(round(removal * f, 6)), [0] * n, [0.0] * n
    for iteration in range(iterations):
        rng = np.random.default_rng([seed, number, iteration])
        part = x[:, rng.choice(d, min(columns, d), replace=False, shuffle=False)]
        centred = part - oracles.mean(part)
        direction = np.linalg.svd(centred)[2][0]
        scores = [float(row @ direction) ** 2 for row in centred]
        total = [a + b for a, b in zip(total, scores, strict=True)]
        for row in sorted(range(n), key=lambda i, scores=scores: scores[i])[:kept]:  # type: ignore[misc]
            memberships[row] += 1
    chosen = [row for row in range(n) if memberships[row] == iterations]
    if not chosen:
        chosen = sorted(range(n), key=lambda i: (-memberships[i], total[i]))[:kept]
    return np.array([1.0 / len(chosen) if row in chosen else 0.0 for row in range(n)])


def dnc(x: Matrix, f: int) -> Matrix:
    value: Matrix = dnc_weights(x, f) @ x
    return value


def signs(column: Matrix) -> int:
    return sum((value > 0) - (value < 0) for value in column.tolist())


def sign_majority(x: Matrix, f: int = 0) -> Matrix:
    return np.array([float((signs(c) > 0) - (signs(c) < 0)) for c in x.T])


def robust_learning_rate(threshold: int, base: Callable[[Matrix], Matrix]) -> Oracle:
    def rule(x: Matrix, f: int = 0) -> Matrix:
        kept = [1.0 if abs(signs(c)) >= threshold else -1.0 for c in x.T]
        return np.array([value * sign for value, sign in zip(base(x), kept, strict=True)])

    return rule


def norm_bound(radius: float) -> Oracle:
    return lambda x, f: oracles.mean(oracles.clip_all(x, radius))


def cosine(a: Matrix, b: Matrix) -> float:
    return math.fsum((a * b).tolist()) / (length(a) * length(b))


def fltrust(x: Matrix, trusted: Matrix) -> Matrix:
    total, shares = np.zeros(x.shape[1]), 0.0
    for row in x:
        if length(row) > 0 and length(trusted) > 0:
            share = max(0.0, cosine(row, trusted))
            total = total + share * row * (length(trusted) / length(row))
            shares += share
    return total / shares if shares > 0 else total


def monna(x: Matrix, f: int, trusted: Matrix) -> Matrix:
    nearest = sorted(range(len(x)), key=lambda row: length(x[row] - trusted))
    return oracles.mean(x[nearest[: len(x) - f]])


def majority_by_hdbscan(distances: Matrix) -> list[int]:
    """The rows of HDBSCAN's one cluster, by scikit-learn."""
    from sklearn.cluster import HDBSCAN

    n = len(distances)
    if n == 1:
        return [0]
    labels = (
        HDBSCAN(min_cluster_size=n // 2 + 1, min_samples=1, allow_single_cluster=True, metric="precomputed", copy=True)
        .fit(distances)
        .labels_
    )
    return [row for row in range(n) if labels[row] == 0]


def flame(x: Matrix, f: int = 0) -> Matrix:
    distances = np.array([[0.0 if i == j else 1 - cosine(x[i], x[j]) for j in range(len(x))] for i in range(len(x))])
    clipped = oracles.clip_all(x)
    return oracles.mean(clipped[majority_by_hdbscan((distances + distances.T) / 2)])


def sign_features(x: Matrix, share: float, seed: int, number: int) -> list[list[float]]:
    count = math.ceil(share * x.shape[1])
    start = int(np.random.default_rng([seed, number]).integers(x.shape[1] - count + 1))
    features = []
    for row in x[:, start : start + count].tolist():
        positive, negative = sum(v > 0 for v in row), sum(v < 0 for v in row)
        features.append([positive / count, (count - positive - negative) / count, negative / count])
    largest = [max(f[k] for f in features) + 1e-8 for k in range(3)]
    return [[f[k] / largest[k] for k in range(3)] for f in features]


def mean_shift(points: list[list[float]], slack: float = 1e-9) -> list[int]:
    """The members of the largest cluster of a flat-kernel mean shift that starts at every point."""
    n = len(points)
    reach = [sorted(math.dist(p, q) for q in points)[max(n // 2, 1) - 1] for p in points]
    bandwidth = math.fsum(reach) / n
    if bandwidth <= slack:
        return list(range(n))
    resting = []
    for start in points:
        place, around = start, [-1]
        for _ in range(300):
            now = [i for i, p in enumerate(points) if math.dist(p, place) <= bandwidth + slack]
            if now == around:
                break
            around = now
            place = [math.fsum(points[i][k] for i in around) / len(around) for k in range(3)]
        resting.append((len(around), *(round(value, 12) for value in place)))
    modes: list[tuple[float, ...]] = []
    for _, *at in sorted(set(resting), reverse=True):
        if all(math.dist(at, mode) > bandwidth + slack for mode in modes):
            modes.append(tuple(at))
    members: list[list[int]] = [[] for _ in modes]
    for i, p in enumerate(points):
        distances = [math.dist(p, mode) for mode in modes]
        if min(distances) <= bandwidth + slack:
            members[next(k for k, away in enumerate(distances) if away <= min(distances) + slack)].append(i)
    return max(members, key=len)


def signguard(
    x: Matrix, share: float, seed: int = 0, number: int = 0, lower: float = 0.1, upper: float = 3.0
) -> Matrix:
    norms = [length(row) for row in x]
    middle = statistics.median(norms)
    plausible = [i for i, norm in enumerate(norms) if lower * middle < norm < upper * middle]
    if not plausible:
        nearest = min(abs(norm - middle) for norm in norms)
        plausible = [i for i, norm in enumerate(norms) if abs(norm - middle) == nearest]
    kept = [i for i in mean_shift(sign_features(x, share, seed, number)) if i in plausible] or plausible
    return oracles.mean(oracles.clip_all(x)[kept])
