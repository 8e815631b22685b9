"""Divide and conquer: on samples of the columns, rows far out along the direction of largest variance are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import JUMP
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class DnC(Aggregator):
    """Divide and conquer (DnC): the mean of the updates that no filter along a principal direction removes.

    Formula: each of `iterations` filters takes `columns` random columns, centres the rows there, computes their top
    right singular vector v and keeps the ``k = n - floor(removal f)`` rows of smallest ``s_i = (v . (x_i - mean))^2``
    (ties: the lower row). The answer is the mean of the rows that every filter keeps. If there is no such row, it is
    the mean of the k rows that most filters keep (ties: the smaller sum of s_i, then the lower row). With ``f=0`` it is
    the mean.

    Filter i of a call takes the columns ``numpy.random.default_rng([seed, calls, i]).choice(d, columns, replace=False,
    shuffle=False)``, where `calls` is the number of earlier calls (state `round`). The choice differs from round to
    round but is the same in every run. If there are fewer than `columns` columns, all are taken.

    Shapes: [n, d] -> [d]. Cost: n^2 columns + n^3 per filter, and one pass for the sum.

    Guarantee: under the paper's condition, that the malicious shift is large compared with the spread of the honest
    rows, the filters remove all malicious rows. There is no bound without this condition: one huge row decides the
    direction and hides the others, so `Clipping` or `ARC` should come before. An attacker that knows `seed` knows the
    columns and can send anything in the others. On a real server, use a seed that nobody can guess,
    ``secrets.randbits(128)``, and keep the text of the rule out of logs. Breakdown point: just under 1/2 for rows of
    equal length.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021.

    Examples
    --------
    >>> from robustfl.defenses import DnC
    >>> DnC(f=1)([[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1.1, 2.0], [50.0, -50.0]]).round(3).tolist()
    [1.05, 1.975]
    """

    name: ClassVar[str] = "dnc"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "removes rows whose common shift is large against the honest spread, n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2 for rows of equal length; a huge row hides others"
    unfit: ClassVar[str] = (
        "where one row may be much longer than the others, which it hides: clip first; and where attackers know "
        "the seed, and so the columns that are looked at"
    )
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    f: ByzantineCount
    iterations: Annotated[int, Ge(1), Doc("number of filters, each on columns of its own")] = 1
    removal: Annotated[float, Gt(0), Le(2), Doc("number of rows that a filter removes, in units of f")] = 1.0
    columns: Annotated[int, Ge(1), Doc("number of columns that a filter takes")] = 10_000
    seed: Annotated[int, Ge(0), Doc("seed of the choice of columns; keep it secret if clients may attack")] = 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """One huge row can hide smaller malicious rows."""
        return frozenset({"breakdown"})

    def _aggregate(self, rows: Rows) -> Outcome:
        number = int(self._state.get("round", 0))
        kept = rows.n - int(self.removal * self.f + 1e-9)  # 0.29 * 100 is 28.999999999999996
        memberships, total = np.zeros(rows.n, dtype=np.int64), np.zeros(rows.n)
        for iteration in range(self.iterations):
            scores = outlier_scores(self._sampled(rows, [self.seed, number, iteration]))
            memberships[np.argsort(scores, kind="stable")[:kept]] += 1
            total += scores
        chosen = np.flatnonzero(memberships == self.iterations)
        if not len(chosen):
            chosen = np.lexsort((total, -memberships))[:kept]
        weights = np.zeros(rows.n)
        weights[chosen] = 1.0 / len(chosen)
        return Outcome(rows.combine(weights), rows.source_weights(weights), state={"round": number + 1})

    def _sampled(self, rows: Rows, key: list[int]) -> Floats:
        """Inner products [n, n] of the rows in some of the columns, around the columns' medians."""
        columns = np.arange(rows.d)
        if self.columns < rows.d:
            drawn = np.random.default_rng(key).choice(rows.d, self.columns, replace=False, shuffle=False)
            columns = np.sort(drawn)
        ops = rows.kernels
        return rows.fold(lambda block: ops.centred_gram(block, ops.median(block), None)[: rows.n, : rows.n], columns)


def outlier_scores(inner: Floats) -> Floats:
    """The squared projections [n] of the rows on the direction in which they vary most, from their products [n, n]."""
    to_mean = inner.mean(axis=1)
    centred = inner - to_mean[:, None] - to_mean[None, :] + to_mean.mean()
    size = float(centred.diagonal().max())
    if size <= 0.0:
        return np.zeros(len(inner))
    values, vectors = np.linalg.eigh(centred / size)
    scores: Floats = size * values[-1] * vectors[:, -1] ** 2
    return scores
