"""The geometric median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels import Floats


@dataclass(frozen=True, kw_only=True)
class GeometricMedian(GramAggregator):
    """The geometric median (RFA): the point with the smallest sum of distances to all updates.

    Formula: ``argmin_y sum_i ||y - x_i||`` by Weiszfeld's iteration ``y <- sum_i b_i x_i / sum_i b_i`` with
    ``b_i = 1 / max(smoothing, ||y - x_i||)``, run in Gram space until a step is shorter than `tolerance` times the
    mean distance. (The change of the objective is no stopping rule: it is flat around the minimum.) Without
    smoothing, a data point that is itself the minimiser is recognised exactly by its first-order condition. The
    published RFA is ``iterations=3, smoothing=1e-6``.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, n^2 an iteration after it.

    Guarantee: for n >= 2f + 1 the result stays bounded whatever f rows hold; (f, kappa)-robust with
    kappa <= 4(1 + f/(n - 2f))^2. Breakdown point: just under 1/2.

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
    reference: ClassVar[str] = "Pillutla et al., Robust Aggregation for Federated Learning, IEEE TSP 2022"

    iterations: Annotated[int, Ge(1), Doc("most Weiszfeld steps")] = 1000
    tolerance: Annotated[float, Ge(0), Doc("length of a step, relative to the mean distance, at which to stop")] = 1e-9
    smoothing: Annotated[float, Ge(0), Doc("smallest distance that is divided by, in the updates' own unit")] = 0.0
    start: Annotated[Literal["mean", "origin"], Doc("where the iteration starts")] = "mean"

    def weights(self, gram: Gram) -> Floats:
        if self.smoothing == 0.0:
            at_row = _minimising_row(gram)
            if at_row is not None:
                return at_row
        weights = np.full(gram.n, 1.0 / gram.n) if self.start == "mean" else np.zeros(gram.n)
        floor = max(self.smoothing, float(np.finfo(np.float64).eps * np.sqrt(gram.squared_distances.max())))
        if floor == 0.0:
            return np.full(gram.n, 1.0 / gram.n)
        for _ in range(self.iterations):
            distances = np.sqrt(gram.squared_distances_from(weights))
            pull = 1.0 / np.maximum(distances, floor)
            previous, weights = weights, pull / pull.sum()
            if gram.squared_length(weights - previous) <= (self.tolerance * distances.mean()) ** 2:
                break
        return weights


def _minimising_row(gram: Gram) -> Floats | None:
    """Weights of the row that minimises the sum of distances over the whole space, or None if no row does.

    Only the medoid can: it is the minimiser iff the unit vectors from it to the other rows sum to a vector no longer
    than the number of rows that lie on it.
    """
    distances = np.sqrt(gram.squared_distances)
    medoid = int(np.argmin(distances.sum(axis=1)))
    own = distances[medoid]
    here = own == 0.0
    pull = np.divide(1.0, own, out=np.zeros(gram.n), where=~here)
    coefficients = pull.copy()
    coefficients[medoid] -= pull.sum()
    if np.sqrt(gram.squared_length(coefficients)) > here.sum():
        return None
    weights: Floats = here / here.sum()
    return weights
