"""SignGuard: the mean of rows with a plausible norm whose share of signs is like that of most other rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import JUMP

TIE = 1e-9
"""Features (between 0 and 1) and distances that differ by less are treated as equal, so rounding decides nothing.

Places are rounded to a thousandth of this: were they rounded to as much, that alone could undo a tie."""

MOST_STEPS = 300
"""Largest number of steps of mean shift; it usually stops after a few, when no row enters or leaves a neighbourhood."""


@dataclass(frozen=True, kw_only=True)
class SignGuard(Aggregator):
    """SignGuard: the mean of the updates, clipped to the median norm, that pass a norm filter and a sign filter.

    Formula: with M the median norm, S1 holds the rows with ``lower M < ||x_i|| < upper M``. The sign filter takes a
    random contiguous block of ceil(share d) columns and counts there the positive, zero and negative values of each
    row, as fractions. Each of these three features is divided by its maximum over the rows plus 1e-8. The features are
    clustered by mean shift, started at every row (flat kernel; the bandwidth is the mean distance from a row to the
    floor(n/2)-th nearest one, itself included; a bandwidth of 0 means one cluster). S2 is the largest cluster. Then
    ``y = mean(x_i min(1, M/||x_i||), i in S1 and S2)``. If S1 and S2 have no row in common, the mean is over S1; if S1
    is empty, it is over the rows whose norm is nearest to M.

    The first column of the block is ``numpy.random.default_rng([seed, calls]).integers(d - ceil(share d) + 1)``, where
    `calls` is the number of earlier calls (state `round`). So every round has a new block, and every run has the same
    blocks.

    Shapes: [n, d] -> [d]. Cost: one pass for the norms, part of a pass for the signs, one pass for the sum, and about
    n^2 for the clusters.

    Guarantee: for n >= 2f + 1 the result is no longer than the median norm, which is no longer than the longest honest
    update. The filters are heuristics: attacks that keep norms and sign statistics get through. Who knows `seed` knows
    whose signs are counted: on a real server give one that nobody can guess, ``secrets.randbits(128)``, and keep the
    text of the rule out of logs. Breakdown point: just under 1/2.

    References
    ----------
    J. Xu, S.-L. Huang, L. Song, T. Lan. Byzantine-robust Federated Learning through Collaborative Malicious Gradient
    Filtering. ICDCS 2022.

    Examples
    --------
    >>> from robustfl.defenses import SignGuard
    >>> updates = [[1.0, 2.0, -1.0], [1.2, 1.8, -1.0], [0.9, 2.1, -1.1], [-1.0, -2.0, 1.0], [9.0, 9.0, 9.0]]
    >>> SignGuard(share=1.0)(updates).round(2).tolist()
    [1.02, 1.94, -1.02]
    """

    name: ClassVar[str] = "signguard"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "no longer than the median update while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = "against attackers who keep norms and shares of signs, which is all that its filters look at"
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = (
        "Xu et al., Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering, ICDCS 2022"
    )
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    lower: Annotated[float, Ge(0), Lt(1), Doc("smallest plausible norm, in multiples of the median norm")] = 0.1
    upper: Annotated[float, Gt(1), Doc("largest plausible norm, in multiples of the median norm")] = 3.0
    share: Annotated[float, Gt(0), Le(1), Doc("share of the columns whose signs are counted")] = 0.1
    seed: Annotated[int, Ge(0), Doc("seed of the choice of columns; keep it secret where clients may attack")] = 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """Signs and norms are measured from the origin."""
        return frozenset({"translation", "box"})

    def _aggregate(self, rows: Rows) -> Outcome:
        number = int(self._state.get("round", 0))
        norms = np.sqrt(rows.squared_norms)
        radius = float(np.median(norms))
        plausible = (norms > self.lower * radius) & (norms < self.upper * radius)
        if not plausible.any():
            gap = np.abs(norms - radius)
            plausible = gap == gap.min()
        kept = plausible & largest_cluster(self._sign_features(rows, number))
        if not kept.any():
            kept = plausible
        weights = kept * np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius) / kept.sum()
        return Outcome(rows.combine(weights), rows.source_weights(weights), state={"round": number + 1})

    def _sign_features(self, rows: Rows, number: int) -> Floats:
        """Fractions [n, 3] of positive, zero and negative values of each row, each divided by its maximum over rows."""
        count = min(int(np.ceil(self.share * rows.d)), rows.d)
        start = _drawn(self.seed, number, rows.d - count + 1)
        counts = rows.fold(rows.kernels.sign_counts, np.arange(start, start + count))
        positive, negative = counts.T / count
        features = np.stack([positive, 1.0 - positive - negative, negative], axis=1)
        scaled: Floats = features / (features.max(axis=0) + 1e-8)
        return scaled


@lru_cache(maxsize=64)
def _drawn(seed: int, number: int, places: int) -> int:
    """The first of the columns that are looked at in a round; attacks that search ask about one round many times."""
    return int(np.random.default_rng([seed, number]).integers(places))


def largest_cluster(features: Floats) -> NDArray[np.bool_]:
    """A mask [n] of the rows in the largest mean-shift cluster; of several, the one around the densest place.

    A row belongs to the mode nearest to it. If that mode is farther away than the bandwidth, the row belongs to none.
    """
    from scipy.spatial.distance import cdist

    n = len(features)
    reach = max(n // 2, 1) - 1
    between = cdist(features, features)
    bandwidth = float(np.partition(between, reach, axis=1)[:, reach].mean())
    if bandwidth <= TIE:
        return np.ones(n, dtype=np.bool_)
    modes = _modes(features, between <= bandwidth + TIE, bandwidth + TIE)
    distances = cdist(features, modes)
    nearest = distances.min(axis=1)
    label = np.argmax(distances <= nearest[:, None] + TIE, axis=1)
    label[nearest > bandwidth + TIE] = len(modes)
    chosen: NDArray[np.bool_] = label == np.argmax(np.bincount(label)[: len(modes)])
    return chosen


def _modes(features: Floats, around: NDArray[np.bool_], bandwidth: float) -> Floats:
    """The places where mean shift comes to rest, started at every row: the densest first, none near another one.

    `around` [n, n] says which rows are within the bandwidth of which.
    """
    from scipy.spatial.distance import cdist

    for _ in range(MOST_STEPS):
        means = around @ features / around.sum(axis=1, keepdims=True)
        before, around = around, cdist(means, features) <= bandwidth
        if np.array_equal(around, before):
            break
    resting = np.column_stack([around.sum(axis=1), np.round(means, 12)])
    modes: list[Floats] = []
    for place in sorted({tuple(row) for row in resting.tolist()}, reverse=True):
        there = np.array(place[1:])
        if all(_length(there - mode) > bandwidth for mode in modes):
            modes.append(there)
    return np.array(modes)


def _length(vector: Floats) -> float:
    """The norm of a short vector, at a tenth of the cost of `np.linalg.norm`."""
    return math.sqrt(vector.dot(vector))
