"""Smallest maximum eigenvalue averaging, by branch and bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator, Grams
from robustfl.aggregation.kernels.base import Floats, column_blocks
from robustfl.aggregation.sensitivity import JUMP
from robustfl.components import ByzantineCount
from robustfl.errors import InfeasibleError

Rows = NDArray[np.intp]
"""The positions of some rows."""

MOST_SUBSETS = 128
"""Subsets of which all eigenvalues are computed at once, for many sets of rows: those of one, of 7 rows, take about 5
microseconds, and a search among the 36 of 9 rows takes 2 milliseconds."""

AT_ONCE = 1 << 16
"""Places in the subsets of sets of rows that are looked at at once: their products take some MB."""

ALIKE = 1e-12
"""Eigenvalues with a relative difference below this differ only by rounding: the subset that was found first stays."""


@dataclass(frozen=True, kw_only=True)
class SMEA(GramAggregator):
    """Smallest maximum eigenvalue averaging: the mean of the n-f updates with the least variance in any direction.

    Formula: ``(1/(n - f)) sum_{i in S} x_i`` with ``S = argmin l_max(cov(S))`` over the subsets of n-f rows, where
    l_max is the largest eigenvalue (ties: the subset that leaves out more of the rows of largest median distance to the
    others). ``f=0`` is the mean.

    The eigenvalues are computed exactly, from (n-f) x (n-f) matrices, so the answer is a function of the rows alone.
    The search extends parts of subsets row by row. A subset never varies less than a part of it, so a part that varies
    as much as the best subset so far is not completed. Rows far from the others come first in the order of the search:
    so the first complete subset, which leaves them out, is good, and parts that hold them are given up while small.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram. After it, each part costs at most n^3. There are about f parts if
    the Byzantine rows are far away, and as many as a large share of the (n choose f) subsets if all rows are much
    alike. A search that needs more than `budget` parts is an error.

    Guarantee: for n >= 2f + 1 the rule is (f, kappa)-robust with kappa = 4f/(n - f) (1 + f/(n - 2f))^2, in the stronger
    sense where the largest eigenvalue of the honest covariance takes the place of its trace. Breakdown point: just
    under 1/2.

    Raises
    ------
    InfeasibleError : the search took more than `budget` parts

    References
    ----------
    Y. Allouah, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. On the Privacy-Robustness-Utility Trilemma in Distributed
    Learning. ICML 2023.

    Examples
    --------
    >>> from robustfl.defenses import SMEA
    >>> SMEA(f=1)([[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1.1, 2.1], [50.0, -50.0]]).round(2).tolist()
    [1.05, 2.0]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = (
        "(f, kappa)-robust in spectral norm with kappa = 4f/(n - f) (1 + f/(n - 2f))^2 while n >= 2f + 1"
    )
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "with many clients that are much alike: the search may try a large share of all subsets and ends with an error"
    )
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = (
        "Allouah et al., On the Privacy-Robustness-Utility Trilemma in Distributed Learning, ICML 2023"
    )

    f: ByzantineCount
    budget: Annotated[
        int, Ge(1), Doc("largest number of parts of subsets in one search; each part costs at most n^3 operations")
    ] = 100_000

    def weights(self, gram: Gram) -> Floats:
        kept = self._least_varying(gram)
        weights = np.zeros(gram.n)
        weights[kept] = 1.0 / len(kept)
        return weights

    def weights_of_all(self, grams: Grams) -> Floats | None:
        """The weights [g, n], by the eigenvalues of all subsets of each set, if there are few enough of them."""
        n = grams.n
        if comb(n, self.f) > MOST_SUBSETS:
            return None
        subsets, parts = _every_subset(n, n - self.f)
        if parts > self.budget:
            return None
        inner, squared = grams.inner, grams.squared_distances
        order = np.argsort(-np.median(squared, axis=2), axis=1, kind="stable")
        weights = np.zeros(order.shape)
        for sets in column_blocks(len(order), max(1, AT_ONCE // subsets.size)):
            rows = order[sets][:, subsets]  # [g, s, k]
            each = np.arange(len(rows))[:, None]
            largest = np.linalg.eigvalsh(_scatter_of_all(inner[sets], rows))[..., -1]
            winner, least = np.zeros(len(rows), np.intp), largest[:, 0].copy()
            for place in range(1, len(subsets)):
                less = largest[:, place] < least * (1.0 - ALIKE)
                winner[less], least[less] = place, largest[less, place]
            weights[sets][each, rows[each[:, 0], winner]] = 1.0 / subsets.shape[1]
        return weights

    def _least_varying(self, gram: Gram) -> Rows:
        """The rows of the subset whose covariance has the smallest largest eigenvalue."""
        n, size = gram.n, gram.n - self.f
        inner, squared = gram.centred[:n, :n], gram.squared_distances
        order = np.argsort(-np.median(squared, axis=1), kind="stable")
        winner, least = order[self.f :], np.inf
        parts = [(order[:0], order)] if self.f else []  # the rows of a part, and the rows that may join it
        looked = 0
        while parts:
            part, rest = parts.pop()
            looked += 1
            if looked > self.budget:
                raise self._gave_up(n)
            rest = rest[(squared[np.ix_(part, rest)] < 2.0 * least).all(axis=0)]  # a pair alone has half as eigenvalue
            surplus = len(part) + len(rest) - size
            if surplus < 0:
                continue
            if surplus == 0:
                part, rest = np.concatenate([part, rest]), rest[:0]
            scatter = _scatter(inner, part)
            if not _is_below(scatter, least * (1.0 - ALIKE)):
                continue
            if len(part) == size:
                winner, least = part, float(np.linalg.eigvalsh(scatter)[-1])
                continue
            parts += [(np.append(part, rest[place]), rest[place + 1 :]) for place in range(surplus)]
            parts.append((np.concatenate([part, rest[surplus:]]), rest[:0]))  # the nearest rows come next
        return winner

    def _gave_up(self, n: int) -> InfeasibleError:
        return InfeasibleError(
            f"SMEA found no proof of the smallest eigenvalue within budget={self.budget} parts of subsets. "
            f"Found n={n}, f={self.f}. Raise `budget`, lower `f`, or use a rule without a search, such as CAF."
        )


@cache
def _every_subset(n: int, size: int) -> tuple[Rows, int]:
    """All subsets [s, size] of n places, in the order in which the search meets them, and the number of its parts."""
    found: list[tuple[int, ...]] = []
    parts: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), tuple(range(n)))]
    looked = 0
    while parts:
        part, rest = parts.pop()
        looked += 1
        surplus = len(part) + len(rest) - size
        if surplus == 0 or len(part) == size:
            found.append((part + rest)[:size])
            continue
        parts += [((*part, rest[place]), rest[place + 1 :]) for place in range(surplus)]
        parts.append((part + rest[surplus:], ()))
    subsets = np.array(found, dtype=np.intp)
    subsets.setflags(write=False)
    return subsets, looked


def _scatter_of_all(inner: Floats, rows: Rows) -> Floats:
    """The :func:`_scatter` [g, s, k, k] of subsets [g, s, k] of the rows of g sets, with inner products [g, n, n]."""
    own = inner[np.arange(len(inner))[:, None, None, None], rows[..., :, None], rows[..., None, :]]
    k = rows.shape[-1]
    to_mean = own.sum(axis=-1) / k
    centred: Floats = own - to_mean[..., :, None] - to_mean[..., None, :] + to_mean.sum(axis=-1)[..., None, None] / k
    return centred


def _scatter(inner: Floats, part: Rows) -> Floats:
    """Inner products [k, k] of the rows of a part around their mean; its eigenvalues are k times the covariance's."""
    own = inner[np.ix_(part, part)]
    to_mean = own.sum(axis=1) / max(len(part), 1)
    centred: Floats = own - to_mean[:, None] - to_mean[None, :] + to_mean.sum() / max(len(part), 1)
    return centred


def _is_below(scatter: Floats, bound: float) -> bool:
    """Whether all eigenvalues are below the bound.

    A Cholesky factorisation tells, at a tenth of the cost of computing the eigenvalues.
    """
    if bound == np.inf:
        return True
    try:
        np.linalg.cholesky(bound * np.eye(len(scatter)) - scatter)
    except np.linalg.LinAlgError:  # not positive definite: the answer is no
        return False
    return True
