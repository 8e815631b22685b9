"""Multi-Krum: the mean of the rows with the best Krum scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Gram, Grams
from robustfl.aggregation.kernels.base import Floats

from .krum import KrumFamily


@dataclass(frozen=True, kw_only=True)
class MultiKrum(KrumFamily):
    """Multi-Krum: the mean of the k updates with the best Krum scores.

    Formula: ``(1/k) sum_{i in S} x_i``, where S holds the k rows of smallest Krum score (ties: the lower row). k
    defaults to n-f-2, the number of neighbours that a score counts. ``k=1`` is Krum.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^2 log n after it.

    Guarantee: the same as Krum's, with less variance: for n >= 2f + 3 the result is within a constant of the honest
    mean. Breakdown point: (n - 3)/2 rows.

    References
    ----------
    P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer. Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent. NeurIPS 2017.

    Examples
    --------
    >>> from robustfl.defenses import MultiKrum
    >>> MultiKrum(f=1, k=3)([[1.0, 2.0], [1.2, 1.8], [0.8, 2.2], [1.0, 2.0], [50.0, -50.0]]).round(4).tolist()
    [1.0667, 1.9333]
    """

    guarantee: ClassVar[str] = "averages rows within a constant of the honest mean while n >= 2f + 3"
    unfit: ClassVar[str] = (
        "where attackers agree closely with each other: close rows have the best scores, so all of them may be "
        "among the rows that are averaged"
    )

    k: Annotated[int | None, Ge(1), Doc("number of selected rows; n-f-2 when not given")] = None

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        reason = super().infeasible(n, f)
        if reason is None and self.k is not None and self.k > n:
            return f"MultiKrum selects k={self.k} rows. Found n={n}, f={self.f}. Lower k."
        return reason

    def weights(self, gram: Gram) -> Floats:
        return self._weights(self.scores(gram.squared_distances))

    def weights_of_all(self, grams: Grams) -> Floats:
        return self._weights(self.scores(grams.squared_distances))

    def _weights(self, scores: Floats) -> Floats:
        """The weights [..., n] of rows with these scores."""
        n = scores.shape[-1]
        k = self.k if self.k is not None else max(n - self.f - 2, 1)
        order = np.argsort(scores, axis=-1, kind="stable")
        weights = np.zeros(scores.shape)
        np.put_along_axis(weights, order[..., :k], 1.0 / k, axis=-1)
        return weights
