"""Comparative gradient elimination: the mean of the shortest updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class CGE(GramAggregator):
    """Comparative gradient elimination: the mean of the n-f updates of smallest norm.

    Formula: ``(1/(n - f)) sum_{i in S} x_i``, where S holds the n-f rows of smallest ``||x_i||`` (ties: the lower row).
    ``f=0`` is the mean.

    Shapes: [n, d] -> [d]. Cost: the norms, which need no Gram, and n log n after them.

    Guarantee: no row longer than the longest honest row is averaged, so the result is never longer than that one.
    Directions are not checked: f rows of usual length may point anywhere, so there is no constant kappa. The published
    analysis requires redundancy among the clients' losses. Breakdown point: just under 1/2.

    Sensitivity: ``2 clip/(n - f)``, and half of it where an absent row is zero. In the order of norms only the replaced
    row changes its place, so at most one row that is kept is exchanged, or moves. A zero row is always kept, in the
    place of a row that is no longer than clip. It is reached.

    References
    ----------
    N. Gupta, S. Liu, N. H. Vaidya. Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based Comparative
    Gradient Elimination. DSN Workshops 2021.

    Examples
    --------
    >>> from robustfl.defenses import CGE
    >>> CGE(f=1)([[1.0, 0.0], [0.0, 1.0], [300.0, 400.0]]).tolist()
    [0.5, 0.5]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "the result is never longer than the longest honest row; its direction is not bounded"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "whenever attackers may send rows of usual length, as their direction is not looked at; and where clients "
        "hold different data, as those that have most to learn send the longest rows"
    )
    reference: ClassVar[str] = (
        "Gupta et al., Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based Comparative Gradient "
        "Elimination, DSN-W 2021"
    )

    f: ByzantineCount

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from the origin, so a shift of all rows changes the choice."""
        return frozenset({"translation"})

    @property
    def geometric(self) -> bool:
        return False  # the rule needs nothing but norms

    def weights(self, gram: Gram) -> Floats:
        kept = np.argsort(gram.squared_norms, kind="stable")[: gram.n - self.f]
        weights = np.zeros(gram.n)
        weights[kept] = 1.0 / len(kept)
        return weights

    def moved(self, change: Change) -> Term:
        exchanged = change.length if change.cleared else change.farthest
        return change.each(exchanged).over(change.n - self.f, f"{change.rows.formula} - f")
