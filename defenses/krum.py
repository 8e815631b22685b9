"""Krum: the row with the closest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator, Grams
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import TIE
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class KrumFamily(GramAggregator):
    """Rules that select rows by Krum's score: the sum of a row's distances to its nearest other rows."""

    requires: ClassVar[tuple[int, int]] = (2, 3)
    breakdown: ClassVar[str] = "(n - 3)/2"
    no_sensitivity: ClassVar[str] = TIE
    reference: ClassVar[str] = (
        "Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017"
    )

    f: ByzantineCount
    neighbours: Annotated[
        Literal["n-f-2", "n-f-1"],
        Doc("number of neighbours in a score: n-f-2 as published (needs n >= 2f + 3), or n-f-1 (needs n >= 2f + 1)"),
    ] = "n-f-2"
    squared: Annotated[
        bool, Doc("whether a score adds up squared distances, as published, or the distances themselves")
    ] = True

    def precondition(self) -> tuple[int, int]:
        return (2, 3) if self.neighbours == "n-f-2" else (2, 1)

    def scores(self, squared: Floats) -> Floats:
        """The scores [..., n] of all rows from squared distances [..., n, n]; smaller is better."""
        n = squared.shape[-1]
        count = n - self.f - (2 if self.neighbours == "n-f-2" else 1)
        others = squared.copy() if self.squared else np.sqrt(squared)
        others[..., np.arange(n), np.arange(n)] = np.inf
        scores: Floats = np.sort(others, axis=-1)[..., :count].sum(axis=-1)
        return scores


@dataclass(frozen=True, kw_only=True)
class Krum(KrumFamily):
    """Krum: the one update whose nearest neighbours are closest.

    Formula: ``x_k`` with ``k = argmin_i sum_{j in N(i)} ||x_i - x_j||^2``, where N(i) holds the n-f-2 rows nearest to
    row i (ties: the lower row).

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^2 log n after it.

    Guarantee: for n >= 2f + 3 the result is within a constant of the honest mean. The constant grows as n approaches
    the bound. Breakdown point: (n - 3)/2 rows.

    References
    ----------
    P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer. Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent. NeurIPS 2017.

    Examples
    --------
    >>> from robustfl.defenses import Krum
    >>> Krum(f=1)([[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1.1, 2.0], [50.0, -50.0]]).tolist()
    [1.0, 2.0]
    """

    guarantee: ClassVar[str] = "selects a row within a constant of the honest mean while n >= 2f + 3"
    unfit: ClassVar[str] = (
        "where clients hold different data, as one client's update is all that is learnt from; or with f near "
        "(n - 3)/2, where attackers decide which honest row is nearest"
    )

    def weights(self, gram: Gram) -> Floats:
        chosen = np.zeros(gram.n)
        chosen[np.argmin(self.scores(gram.squared_distances))] = 1.0
        return chosen

    def weights_of_all(self, grams: Grams) -> Floats:
        scores = self.scores(grams.squared_distances if grams.measured is None else grams.measured)
        chosen = np.zeros(scores.shape)
        np.put_along_axis(chosen, np.argmin(scores, axis=1)[:, None], 1.0, axis=1)
        return chosen
