"""Rows of the table of rules, with their oracles: rules with a reputation of every client, in their first round."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from robustfl.defenses import Clipping, FoolsGold, MeritRank
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least
from tests.aggregation.oracles import Matrix, Oracle


def cosine(a: Matrix, b: Matrix) -> float:
    size = oracles.length(a) * oracles.length(b)
    return math.fsum(a * b) / size if size else 0.0


def fools_gold_weights(history: Matrix) -> list[float]:
    n = len(history)
    similar = [[cosine(history[i], history[j]) if i != j else 0.0 for j in range(n)] for i in range(n)]
    most = [max(row) for row in similar]
    apart = []
    for i in range(n):
        pardoned = [similar[i][j] * (most[i] / most[j] if most[i] < most[j] else 1.0) for j in range(n)]
        apart.append(1.0 - max(pardoned))
    largest = max(apart)
    if largest < 1e-9:
        return [0.0] * n
    weights = []
    for value in apart:
        scaled = 0.99 if value == largest else value / largest
        weights.append(min(max(math.log(scaled / (1 - scaled) + 1e-5) + 0.5, 0.0), 1.0) if scaled < 1 else 1.0)
    return weights


def fools_gold(divisor: Callable[[list[float]], float]) -> Oracle:
    def rule(x: Matrix, f: int) -> Matrix:
        weights = fools_gold_weights(x)
        return np.asarray(np.array(weights) @ x / divisor(weights))

    return rule


def merit_rank(x: Matrix, f: int, exploration: float = 0.05, cap: float = 3.0) -> Matrix:
    """The first round: agreement with the mean of the directions, in coordinates instead of a Gram."""
    n, lengths = len(x), [oracles.length(row) for row in x]
    units = np.array([row / size if size else row for row, size in zip(x, lengths, strict=True)])
    center = units.mean(axis=0)
    scores = [max(cosine(unit, center), 0.0) for unit in units]
    shares = [(1 - exploration) * score / sum(scores) for score in scores] if any(scores) else [1 / n] * n
    most = (cap - exploration) / n if any(scores) else 1.0
    for _ in range(n):  # what is cut off goes to the others in proportion
        lower = [share for share in shares if share < most]
        excess = sum(share - most for share in shares if share > most)
        if sum(lower) > 0:
            shares = [min(share, most) if share >= most else share * (1 + excess / sum(lower)) for share in shares]
    spread = exploration / n if any(scores) else 0.0
    radius = sorted(lengths)[(n - 1) // 2]
    clipped = [row * min(1.0, radius / size) if size else row for row, size in zip(x, lengths, strict=True)]
    return np.asarray((np.minimum(shares, most) + spread) @ np.array(clipped))


RULES: list[Case] = [
    Case(
        "fools gold",
        lambda f: FoolsGold(),
        fools_gold(lambda weights: sum(weights) or 1.0),
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,  # zeros when all rows point the same way
        consensus=False,
        robust_from=None,
    ),
    Case(
        "fools gold, uniform",
        lambda f: FoolsGold(alike="uniform", clip=1.0),
        fools_gold(sum),
        at_least(0, 1),
        told=False,
        translation=False,
        robust_from=None,
    ),
    Case(
        "fools gold, published",
        lambda f: Clipping(radius=1.0) >> FoolsGold(normalize="none", clip=None),
        lambda x, f: fools_gold(lambda weights: 1.0)(oracles.clip_all(x, 1.0), f),
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        box=False,
        consensus=False,
        stretching=True,
    ),
    Case(
        "merit rank",
        lambda f: MeritRank(),
        merit_rank,
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
    ),
    Case(
        "merit rank, capped",
        lambda f: MeritRank(cap=1.25, exploration=0.0),
        lambda x, f: merit_rank(x, f, exploration=0.0, cap=1.25),
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
    ),
]
