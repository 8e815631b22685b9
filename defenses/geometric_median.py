"""The geometric median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator, Grams
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import TIE
from robustfl.aggregation.updates.gram import ROUNDING


@dataclass(frozen=True, kw_only=True)
class GeometricMedian(GramAggregator):
    """The geometric median (RFA): the point with the smallest sum of distances to all updates.

    Formula: ``argmin_y sum_i ||y - x_i||`` by Weiszfeld's iteration ``y <- sum_i b_i x_i / sum_i b_i`` with
    ``b_i = 1 / max(smoothing, ||y - x_i||)``. It runs in Gram space until a step is shorter than `tolerance` times
    the median distance. (The change of the objective would be a bad stopping rule, because the objective is flat around
    the minimum. The mean distance would be a bad unit, because one huge row determines it.) Without smoothing, rows
    that are themselves minimisers are recognised exactly by their first-order condition; if there are several, as on
    a line with n even, the answer is their mean. An iterate that meets any other row leaves it by the step of Vardi
    and Zhang. The published RFA is ``iterations=3, smoothing=1e-6, start="mean"``.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^2 per iteration after it.

    Guarantee: for n >= 2f + 1 the result stays bounded whatever f rows hold, and the rule is (f, kappa)-robust with
    kappa <= 4(1 + f/(n - 2f))^2. Breakdown point: just under 1/2. From the default start, the result is bounded after
    any number of iterations, because the sum of distances never grows; from the mean, only once the iteration has
    converged.

    References
    ----------
    K. Pillutla, S. M. Kakade, Z. Harchaoui. Robust Aggregation for Federated Learning. IEEE Transactions on Signal
    Processing, 2022. Y. Vardi, C.-H. Zhang. The multivariate L1-median and associated data depth. PNAS, 2000.

    Examples
    --------
    >>> from robustfl.defenses import GeometricMedian
    >>> GeometricMedian()([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, -1.0]]).round(6).tolist()
    [1.0, 0.0]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "stays bounded whatever f rows hold, while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "where attackers need no long rows: each row pulls with the same strength, so f rows that agree on a "
        "direction move the result in every round"
    )
    no_sensitivity: ClassVar[str] = TIE
    reference: ClassVar[str] = "Pillutla et al., Robust Aggregation for Federated Learning, IEEE TSP 2022"

    iterations: Annotated[int, Ge(1), Doc("largest number of Weiszfeld steps")] = 1000
    tolerance: Annotated[
        float, Ge(0), Doc("the iteration stops when a step is shorter than this share of the median distance")
    ] = 1e-9
    smoothing: Annotated[
        float, Ge(0), Doc("lower bound on the distances in the weights 1/distance, in the unit of the updates")
    ] = 0.0
    start: Annotated[
        Literal["central", "mean", "origin"],
        Doc("where the iteration starts: the row of smallest median distance to the others, the mean, or zero"),
    ] = "central"

    @property
    def unclaimed(self) -> frozenset[str]:
        """Some properties of the minimum do not hold before it is reached, and a smoothing fixes a unit of length."""
        lost = set() if self.smoothing == 0.0 else {"scaling"}
        if self.start == "mean":
            lost |= {"breakdown"}
        elif self.start == "origin":
            lost |= {"breakdown", "translation", "box"}
        return frozenset(lost)

    def weights(self, gram: Gram) -> Floats:
        if self.smoothing == 0.0:
            at_rows = _minimising_rows(gram)
            if at_rows is not None:
                return at_rows
        weights = self._first(gram)
        if gram.loops is not None:
            limits = self.iterations, self.tolerance, self.smoothing, NOISE
            found: Floats = gram.loops.weiszfeld(gram.centred, gram.n, weights, *limits)
            return found
        for _ in range(self.iterations):
            distances = np.sqrt(gram.squared_distances_from(weights))
            scale = float(np.median(distances))
            previous, weights = weights, _step(gram, weights, distances, self.smoothing)
            if gram.squared_length(weights - previous) <= (self.tolerance * scale) ** 2:
                break
        return weights

    def weights_of_all(self, grams: Grams) -> Floats | None:
        if self.smoothing > 0.0 and self.start != "origin" and grams.measured is not None:
            return self._smoothed(grams.measured)
        if grams.loops is None:
            return None
        limits = self.iterations, self.tolerance, self.smoothing, NOISE
        share = 1.0 / grams.n if self.start == "mean" else 0.0
        found: Floats = grams.loops.geometric_medians(
            grams.centred, grams.n, self.start == "central", share, *limits, ROUNDING, 1.0 + SLACK
        )
        return found

    def _smoothed(self, squared: Floats) -> Floats:
        """With smoothing, which has no special cases at rows, and from a start that is a sum of the rows.

        From weights w of sum 1 the squared distances are ``D w - w^T D w/2``. Sets that have converged stay where they
        are.
        """
        g, n, _ = squared.shape
        weights = np.full((g, n), 1.0 / n)
        if self.start == "central":
            weights = np.eye(n)[np.argmin(np.median(squared, axis=2), axis=1)]
        moving = np.arange(g)
        for _ in range(self.iterations):
            here, before = squared[moving], weights[moving]
            reach = np.einsum("gij,gj->gi", here, before)
            size = np.einsum("gi,gi->g", before, reach) / 2.0
            distances = np.sqrt(np.maximum(reach - size[:, None], 0.0))
            pull = 1.0 / np.maximum(distances, self.smoothing)
            after = pull / pull.sum(axis=1, keepdims=True)
            weights[moving] = after
            step = after - before
            length = np.maximum(-np.einsum("gi,gij,gj->g", step, here, step) / 2.0, 0.0)
            moving = moving[length > (self.tolerance * np.median(distances, axis=1)) ** 2]
            if not len(moving):
                break
        return weights

    def _first(self, gram: Gram) -> Floats:
        if self.start == "mean":
            return np.full(gram.n, 1.0 / gram.n)
        weights = np.zeros(gram.n)
        if self.start == "central":
            weights[gram.central] = 1.0
        return weights


NOISE = float(np.sqrt(np.finfo(np.float64).eps))
"""Distances below this share of the median distance are rounding errors of squared distances."""

SLACK = 1e-9
"""Share by which unit vectors from a minimising row may sum to more than the rows on it, because of rounding."""


def _minimising_rows(gram: Gram) -> Floats | None:
    """Equal weights over the rows that minimise the sum of distances over the whole space, or None if no row does.

    A row is a minimiser iff the unit vectors from it to the other rows sum to a vector no longer than the number of
    rows that lie on it. The sums of distances themselves are never compared: a huge row drowns their differences.
    """
    if gram.loops is not None:
        found: Floats = gram.loops.minimising_rows(gram.centred, gram.squared_distances, 1.0 + SLACK)
        return found / found.sum() if found.any() else None
    distances = np.sqrt(gram.squared_distances)
    here = distances == 0.0
    coefficients = np.divide(1.0, distances, out=np.zeros_like(distances), where=~here)
    np.fill_diagonal(coefficients, -coefficients.sum(axis=1))
    minimal = np.sqrt(gram.squared_lengths(coefficients)) <= here.sum(axis=1) * (1.0 + SLACK)
    return minimal / minimal.sum() if minimal.any() else None


def _step(gram: Gram, weights: Floats, distances: Floats, smoothing: float) -> Floats:
    """One Weiszfeld step from the point of `weights`, at which the rows have these `distances`.

    Weiszfeld's formula could never leave a row that lies exactly on the point. By the rule of Vardi and Zhang, such
    rows only make the step shorter.
    """
    if smoothing > 0.0:
        pull = 1.0 / np.maximum(distances, smoothing)
        smoothed: Floats = pull / pull.sum()
        return smoothed
    near = distances <= NOISE * np.median(distances)
    if near.all():
        return weights
    pull = np.divide(1.0, distances, out=np.zeros(gram.n), where=~near)
    target: Floats = pull / pull.sum()
    if not near.any():
        return target
    length = np.sqrt(gram.squared_length(pull - pull.sum() * weights))
    stay = min(1.0, float(near.sum()) / max(float(length), 1.0))
    return stay * weights + (1.0 - stay) * target
