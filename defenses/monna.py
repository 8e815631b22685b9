"""MoNNA's nearest-neighbour average around a trusted update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class MoNNA(Aggregator):
    """MoNNA: the mean of the n-f updates nearest to a trusted one, such as a peer's own.

    Formula: ``(1/(n - f)) sum_{i in N} x_i``, where N holds the n-f rows with the smallest ``||x_i - x*||`` (ties: the
    lower row). The caller passes the trusted update x*: ``rule(updates, trusted=x*)``. A peer that averages with its
    neighbours passes its own update as x*, and includes it among the n rows as well if it should count. ``f=0`` is the
    mean.

    Shapes: [n, d] and [d] -> [d]. Cost: n d for the distances, which need no Gram, n log n after them, and n d for the
    sum.

    Guarantee: for any f < n, every row that is averaged is as near to the trusted update as some honest row. So the
    result is no farther from it than the farthest honest row. The published analysis of learning requires n > 11 f.
    Breakdown point: there is none while the trusted update is honest.

    Sensitivity: ``2 clip/(n - f)`` while the trusted update is public, such as one from data of the server's own. In
    the order of distances from it only the replaced row changes its place, so at most one row that is averaged is
    exchanged, or moves. (A distance is computed from its own row alone, so no other row reorders ties by rounding.) An
    absent row of zeros does not lower it. It is reached. A trusted update that is a client's own, as among peers, is
    another row of that client: the value then says nothing about this client.

    References
    ----------
    S. Farhadkhani, R. Guerraoui, N. Gupta, L. N. Hoang, R. Pinot, J. Stephan. Robust Collaborative Learning with Linear
    Gradient Overhead. ICML 2023.

    Examples
    --------
    >>> from robustfl.defenses import MoNNA
    >>> MoNNA(f=2)([[1.0, 2.0], [1.5, 1.5], [9.0, 9.0], [8.0, 9.0]], trusted=[1.0, 1.5]).tolist()
    [1.25, 1.75]
    """

    name: ClassVar[str] = "monna"
    family: ClassVar[str] = "geometric"
    requires: ClassVar[tuple[int, int]] = (1, 1)
    public_inputs: ClassVar[str] = "the trusted update, which no client's data may go into except through releases"
    guarantee: ClassVar[str] = "within the largest honest distance from the trusted update while n >= f + 1"
    breakdown: ClassVar[str] = "none while the trusted update is honest"
    unfit: ClassVar[str] = (
        "without an update that can be trusted, or where the peer's own data are unlike the others': all that "
        "differs from it is then left out"
    )
    reference: ClassVar[str] = (
        "Farhadkhani et al., Robust Collaborative Learning with Linear Gradient Overhead, ICML 2023"
    )

    f: ByzantineCount

    @property
    def wants_trusted(self) -> bool:
        return True

    def _aggregate(self, rows: Rows) -> Outcome:
        kept = rows.n - self.f
        nearest = np.argsort(rows.squared_distances_to(rows.source.trusted), kind="stable")[:kept]
        weights = np.zeros(rows.n)
        weights[nearest] = 1.0 / kept
        return Outcome(rows.combine(weights), rows.source_weights(weights))

    def moved(self, change: Change) -> Term:
        return change.each(change.farthest).over(change.n - self.f, f"{change.rows.formula} - f")
