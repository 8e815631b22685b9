"""The Flag Aggregator."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.kernels.choice import spectrum_loops

from .flag_subspace import FAINT, ROUNDING, TINY, Pairs, Span, Subspace, coordinates, subspaces

CLEAR = 0.1
"""A squared length that is a difference of larger terms has nearly all digits of theirs above this share of them."""

STEEP = 1e-4
"""Smallest eigenvalue of the products of unit rows, as a share of the largest, that has digits enough of its own."""


@dataclass(frozen=True, kw_only=True)
class Flag(GramAggregator):
    """The Flag Aggregator: the mean of the updates, projected on the subspace that fits their directions best.

    Formula: with unit rows ``u_i = x_i / ||x_i||``, P is the projection on a subspace of `dimension` m, by default
    ``ceil((n + 1)/2)``, that minimises ``sum_i sqrt(1 - ||P u_i||^2)`` plus ``pairwise / (n - 1)`` times
    ``sum_{i != j} sqrt(1 - ||P y_ij||^2)``, where ``y_ij`` is the unit vector along ``u_i - u_j``, or along
    ``x_i - x_j`` with ``pair_rows="raw"``.

    - With ``mode="reference"`` the answer is ``P sum_i u_i / m``, as in the published code. Its length, at most n/m,
      does not depend on the length of the updates. The default ``rescale="median_norm"``, which is not published,
      multiplies it by m/n and by the median length. The answer then is the projected mean of the rows, after all of
      them are scaled to the median length.
    - With ``mode="paper"`` the answer is ``P sum_i x_i / n``, which a row moves in proportion to its length. `rescale`
      has no effect.

    P comes from at most `iterations` steps of iteratively reweighted least squares, the first with equal weights. The
    search ends with a step that improves the objective by `tolerance` or less. `regularisation` is added under each
    root, and the objective with it never grows. The steps lead to a stationary point, which need not be the minimum.

    P is the identity unless m is less than the rank of the rows, so n and d should both be greater than m. When P is
    the identity, ``mode="paper"`` is the mean. If the m-th direction ties with others, all of them share the free
    places equally, so the answer is a function of the rows. Rows shorter than a millionth of the typical row count in
    n, but otherwise like zero rows. Pairs that are closer than a millionth of the typical distance have no term. The
    published code weights the terms of pairs in another way.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^3 per step after it, with or without pairs. `weights` may be
    negative, and need not sum to 1.

    Guarantee: no bound on the distance to the honest mean is known. By default the answer is never longer than the
    median update. With ``mode="paper"`` one row can move it without limit. The subspace fits hostile rows that agree on
    a direction as well as honest rows, and with a large `pairwise` the differences between honest rows can displace
    their mean from it.

    References
    ----------
    H. Almasi, H. Mishra, B. Vamanan, S. N. Ravi. Flag Aggregator: Scalable Distributed Training under Failures and
    Augmented Losses using Convex Optimization. ICLR 2024.

    Examples
    --------
    >>> from robustfl.defenses import Flag
    >>> Flag(dimension=1)([[3.0, 4.0], [3.1, 3.9], [2.9, 4.1], [3.0, 4.0], [-40.0, 30.0]]).round(2).tolist()
    [2.4, 3.2]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "no longer than the median update; no bound on the distance to the honest mean is known"
    breakdown: ClassVar[str] = "none proven"
    unfit: ClassVar[str] = (
        "where a proof is needed, as none is known; and where malicious clients agree on one direction, which fits"
        " a subspace as well as honest rows do"
    )
    no_sensitivity: ClassVar[str] = "none is proved: the subspace jumps where eigenvectors change their order"
    reference: ClassVar[str] = (
        "Almasi et al., Flag Aggregator: Scalable Distributed Training under Failures and Augmented Losses using "
        "Convex Optimization, ICLR 2024"
    )

    dimension: Annotated[int | None, Ge(1), Doc("dimension m of the subspace; ceil((n + 1)/2) when not given")] = None
    pairwise: Annotated[
        float,
        Ge(0),
        Le(1e6),
        Doc("weight of the terms for pairs of rows in the objective; the main published experiments use 0"),
    ] = 0.0
    pair_rows: Annotated[
        Literal["unit", "raw"], Doc("whether pairs are differences of rows of length 1 or of the rows themselves")
    ] = "unit"
    iterations: Annotated[int, Ge(1), Doc("largest number of steps in the search for the subspace")] = 5
    tolerance: Annotated[
        float,
        Ge(0),
        Doc("the search stops when a step gains no more than this in the objective, in which a row counts at most 1"),
    ] = 1e-10
    regularisation: Annotated[
        float, Gt(0), Le(1), Doc("number that is added to the squared share of each row outside of the subspace")
    ] = 1e-7
    mode: Annotated[
        Literal["reference", "paper"],
        Doc("what is projected: rows scaled to length 1, as in the published code, or the rows themselves"),
    ] = "reference"
    rescale: Annotated[
        Literal["none", "median_norm"],
        Doc("length of the answer in mode 'reference': as published, or as if all rows had the median length"),
    ] = "median_norm"

    @property
    def unclaimed(self) -> frozenset[str]:
        """Directions are measured from the origin, and the projection shortens vectors."""
        names = {"translation", "box"}
        if self.mode == "paper":
            names |= {"breakdown"}
        elif self.rescale == "none":
            names |= {"scaling", "consensus"}
        return frozenset(names)

    def weights(self, gram: Gram) -> Floats:
        n = gram.n
        m = self.dimension or n // 2 + 1
        lengths, weights = self._of_clear_rows(gram, m) or self._of_any_rows(gram, m)
        if self.mode == "paper":
            return weights / n
        if self.rescale == "none":
            return weights / m
        return weights * (float(np.median(lengths)) / n)

    def _of_clear_rows(self, gram: Gram, m: int) -> tuple[Floats, Floats] | None:
        """The lengths and the weights [n] from the inner products alone, if these are precise enough; else None."""
        if self.pairwise or gram.loops is None or gram.n <= m:
            return None
        limits = self.iterations, self.tolerance, self.regularisation, ROUNDING, CLEAR, STEEP
        lengths, weights = spectrum_loops().flag(gram.centred, gram.n, m, self.mode == "paper", *limits)
        return (lengths, weights) if len(lengths) else None

    def _of_any_rows(self, gram: Gram, m: int) -> tuple[Floats, Floats]:
        """The lengths and the weights [n] from coordinates of the rows; short rows have neither."""
        n, rows = gram.n, coordinates(gram)
        lengths, weights = np.sqrt((rows**2).sum(axis=1)), np.zeros(gram.n)
        apart = np.diag(gram.centred)[:n]  # how far the rows are from the point around which the Gram is taken
        live = lengths**2 > FAINT * (apart + gram.centred[n, n]) + TINY
        lengths[~live] = 0.0
        if not live.any():
            return lengths, weights
        units = rows[live] / lengths[live, None]
        coefficients = lengths[live] if self.mode == "paper" else np.ones(len(units))
        span = Span(units)
        if span.rank > m:
            pairs = self._pairs(span.units, lengths[live], apart[live], n) if self.pairwise else None
            coefficients = span.projected(coefficients, self._subspace(span.units, m, pairs))
        weights[live] = coefficients / lengths[live]
        return lengths, weights

    def _pairs(self, units: Floats, lengths: Floats, apart: Floats, n: int) -> Pairs:
        noise = FAINT * np.maximum(apart, np.median(apart)) + (ROUNDING * lengths) ** 2
        if self.pair_rows == "raw":
            points = lengths[:, None] * units
        else:
            points, noise = units, noise / lengths**2
        return Pairs(points, noise, self.pairwise / (n - 1))

    def _subspace(self, units: Floats, m: int, pairs: Pairs | None) -> Subspace:
        """The subspace that the last step finds."""
        steps = islice(subspaces(units, m, pairs, self.regularisation), self.iterations)
        found = next(steps)
        for step in steps:
            gain = found.objective - step.objective
            found = step
            if gain <= self.tolerance:
                break
        return found
