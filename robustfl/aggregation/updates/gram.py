"""Gram space: everything that a geometric rule may know about the rows, in an ``n x n`` matrix.

The matrix holds the inner products between the rows, the origin and any extra points (such as the previous aggregate),
after one common reference row was subtracted, in float64. Every quantity that a rule asks for is computed from affine
combinations of those points, so a large part that all rows share costs no precision (an uncentred float32 Gram gives
negative squared distances).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.kernels.choice import gram_loops
from robustfl.errors import ParameterError

ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
"""A difference of inner products below this share of their size is only a rounding error."""


class Gram:
    """Inner products between `n` rows, the origin and `e` extra points, all relative to one reference row.

    Attributes
    ----------
    n : number of rows
    ids : whose the rows are, for ties that only an order can decide: that of the rows is an attacker's choice
    extras : number of extra points `e`
    centred : [n + 1 + e, n + 1 + e] float64; rows first, then the origin, then the extra points. The constructor takes
        a matrix, or a function that computes it (or finds another Gram with the same matrix) together with the number
        of `extras`. Its argument `norms` is a
        function that computes the squared norms in a cheaper way, if there is one
    """

    def __init__(
        self,
        centred: Floats | Callable[[], Floats | Gram],
        n: int,
        extras: int = 0,
        *,
        norms: Callable[[], Floats] | None = None,
    ) -> None:
        self._compute = centred if callable(centred) else lambda: centred
        self._same: Gram | None = None
        self._norms = norms
        self.n = n
        self.ids: tuple[Hashable, ...] = tuple(range(n))
        self.extras = extras if callable(centred) else len(centred) - n - 1

    @cached_property
    def centred(self) -> Floats:
        """The matrix, which is computed when a rule first asks for something in it: a plain mean never pays for it."""
        found = self._compute()
        if isinstance(found, Gram):
            self._same = found
            return found.centred
        return found

    @cached_property
    def squared_distances(self) -> Floats:
        """`||x_i - x_j||^2`, [n, n], never negative; 0 on the diagonal and where only a rounding error is left."""
        loops = self.loops
        if self._same is not None:
            return self._same.squared_distances
        if loops is not None:
            compiled: Floats = loops.squared_distances(self.centred, self.n, ROUNDING)
            return compiled
        inner = self.centred[: self.n, : self.n]
        own = np.diag(inner)
        size = own[:, None] + own[None, :]
        squared: Floats = size - (inner + inner.T)
        squared[squared <= ROUNDING * size] = 0.0
        np.fill_diagonal(squared, 0.0)
        return squared

    @cached_property
    def loops(self) -> Any:
        """Compiled loops over the matrix (:mod:`robustfl.aggregation.kernels.compiled_gram`), or None for numpy."""
        plain = self.centred.flags.c_contiguous and self.centred.dtype == np.float64
        return gram_loops(len(self.centred)) if plain else None

    @cached_property
    def central(self) -> int:
        """The row with the smallest median distance to the others, near honest rows if those are a strict majority."""
        squared = self.squared_distances
        return int(np.argmin(row_medians(squared))) if self._same is None else self._same.central

    @cached_property
    def squared_norms(self) -> Floats:
        """`||x_i||^2`, [n]: the squared distances from the origin."""
        if self._norms is not None:
            return self._norms()
        return self.squared_distances_from(np.zeros(self.n))

    @cached_property
    def products(self) -> Floats:
        """The plain inner products `<x_i, x_j>`, [n, n], for rules that use angles rather than distances."""
        n = self.n
        to_origin = self.centred[:n, n]
        inner: Floats = self.centred[:n, :n] - to_origin[:, None] - to_origin[None, :] + self.centred[n, n]
        return inner

    def squared_distances_from(self, weights: Floats) -> Floats:
        """Squared distances [n] of all rows from the point `sum_i weights_i p_i`.

        `weights` has one entry per row, or one entry per row followed by one entry per extra point.
        """
        self._check(weights)
        loops = self.loops
        if loops is not None:
            compiled: Floats = loops.squared_distances_from(
                self.centred, self.n, np.ascontiguousarray(weights, np.float64)
            )
            return compiled
        point = self._affine(weights)
        reach = self.centred @ point
        squared: Floats = np.maximum(np.diag(self.centred)[: self.n] - 2.0 * reach[: self.n] + point @ reach, 0.0)
        return squared

    def squared_length(self, coefficients: Floats) -> float:
        """`||sum_i c_i x_i||^2` for coefficients [n] over the rows; if they sum to 0, it measures a difference."""
        return float(self.squared_lengths(coefficients[None, :])[0])

    def squared_lengths(self, coefficients: Floats) -> Floats:
        """The :meth:`squared_length` [m] for every row of `coefficients` [m, n]."""
        m = len(coefficients)
        full = np.hstack([coefficients, -coefficients.sum(axis=1, keepdims=True), np.zeros((m, self.extras))])
        lengths: Floats = np.maximum(np.einsum("ij,ij->i", full @ self.centred, full), 0.0)
        return lengths

    def mix(self, matrix: Floats) -> Gram:
        """The Gram of the rows `matrix @ X`, for a mixing matrix [m, n]; the data are not read again."""
        m = len(matrix)

        def mixed() -> Floats:
            kept = 1 + self.extras
            full = np.zeros((m + kept, self.n + kept))
            full[:m, : self.n] = matrix
            full[:m, self.n] = 1.0 - matrix.sum(axis=1)
            full[m:, self.n :] = np.eye(kept)
            product: Floats = full @ self.centred @ full.T
            return product

        scales = np.diag(matrix) if m == self.n else None
        if scales is None or np.count_nonzero(matrix) > np.count_nonzero(scales):
            return Gram(mixed, m, self.extras)
        return Gram(mixed, m, self.extras, norms=lambda: scales**2 * self.squared_norms)  # rows that are only scaled

    def _affine(self, weights: Floats) -> Floats:
        """Coefficients over all points that sum to 1: the origin, which adds nothing, gets what is missing to 1."""
        full = np.zeros(self.n + 1 + self.extras)
        full[: self.n] = weights[: self.n]
        full[self.n + 1 : self.n + 1 + len(weights) - self.n] = weights[self.n :]
        full[self.n] = 1.0 - weights.sum()
        return full

    def _check(self, weights: Floats) -> None:
        if len(weights) not in (self.n, self.n + self.extras):
            message = f"`weights` should have {self.n} or {self.n + self.extras} entries. Found {len(weights)}."
            raise ParameterError(message)


def row_medians(matrix: Floats) -> Floats:
    """The medians of the rows of [m, n], which `np.median` takes several times as long to find for a small matrix."""
    n = matrix.shape[1]
    half = n // 2
    if n % 2:
        odd: Floats = np.partition(matrix, half, axis=1)[:, half]
        return odd
    middle = np.sort(matrix, axis=1)  # numpy sorts with whole registers, but looks for two places without them
    even: Floats = (middle[:, half - 1] + middle[:, half]) / 2.0
    return even
