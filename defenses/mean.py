"""The plain mean, the baseline against which all other rules are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation import Gram, GramAggregator, Rows
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.sensitivity import Change, Term


@dataclass(frozen=True, kw_only=True)
class Mean(GramAggregator):
    """Plain averaging, the rule of FedAvg: optimal without an attack, broken by a single malicious client.

    Formula: ``(1/n) sum_i x_i``.

    Shapes: [n, d] -> [d]. Cost: one pass over the data; the Gram is never formed.

    Guarantee: none. Breakdown point: 0, because one finite row can move the result anywhere. (Rows that are not finite
    are rejected before the rule sees them, as for every rule.)

    Sensitivity: ``2 clip/n``, because the result is linear in every row with the factor 1/n. It is reached.

    References
    ----------
    H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas. Communication-Efficient Learning of Deep
    Networks from Decentralized Data. AISTATS 2017.

    Examples
    --------
    >>> from robustfl.defenses import Mean
    >>> Mean()([[1.0, 2.0], [3.0, 6.0]]).tolist()
    [2.0, 4.0]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "none: one malicious client moves the result anywhere"
    breakdown: ClassVar[str] = "0"
    unfit: ClassVar[str] = (
        "wherever a single client may be malicious or broken: one finite row moves the answer anywhere"
    )
    reference: ClassVar[str] = (
        "McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017"
    )

    @property
    def unclaimed(self) -> frozenset[str]:
        return frozenset({"breakdown"})

    @property
    def geometric(self) -> bool:
        return False

    @property
    def averages(self) -> bool:
        return True

    def weights(self, gram: Gram) -> Floats:
        return np.full(gram.n, 1.0 / gram.n)

    def direct(self, rows: Rows) -> tuple[Array, Floats]:
        weights = np.full(rows.n, 1.0 / rows.n)
        return rows.combine(weights), weights

    def moved(self, change: Change) -> Term:
        return change.moved.over(change.n, change.rows.formula)
