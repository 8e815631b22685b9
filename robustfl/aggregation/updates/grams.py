"""The Grams of many small sets of rows as one array, for rules that are asked about all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.kernels.choice import gram_loops
from robustfl.aggregation.updates.gram import ROUNDING, Gram


class Grams:
    """The Gram space of each of g sets of n rows, such as the letters of neighbourhoods; they have no extra points.

    What a rule asks for is the same, to the last bit, as what :meth:`of` tells about each set, apart from `measured`.

    Attributes
    ----------
    n : the number of rows in each set
    centred : [g, n + 1, n + 1]; for each set, the matrix of :class:`Gram`
    """

    def __init__(
        self,
        n: int,
        centred: Callable[[], Floats],
        inner: Callable[[], Floats] | None = None,
        measured: Callable[[], Floats] | None = None,
        norms: Callable[[], Floats] | None = None,
    ) -> None:
        self.n = n
        self._centred, self._inner, self._measured, self._norms = centred, inner, measured, norms

    @classmethod
    def between(
        cls,
        n: int,
        measured: Callable[[], Floats],
        norms: Callable[[], Floats],
        both: Callable[[], tuple[Floats, Floats]],
    ) -> Grams:
        """From functions that compute squared distances [g, n, n], squared norms [g, n], and both of them.

        Each is called when a rule needs that. Inner products are taken around the most central row of each set, for the
        same reason as in :meth:`robustfl.aggregation.updates.source.Source._centred_gram`.
        """
        return cls(n, lambda: _with_origin(*both()), lambda: _around_central(measured()), measured, norms)

    @cached_property
    def centred(self) -> Floats:
        """The matrices, which are computed when a rule first asks for something in them: many rules never do."""
        return np.ascontiguousarray(self._centred())

    @cached_property
    def inner(self) -> Floats:
        """The inner products [g, n, n] between the rows in :attr:`centred`, without the origin, which takes norms."""
        if self._inner is None or "centred" in vars(self):
            return self.centred[:, : self.n, : self.n]
        return self._inner()

    @cached_property
    def measured(self) -> Floats | None:
        """Squared distances [g, n, n] as they were found from the rows, without norms; None for rows that are mixtures.

        They may differ from :attr:`squared_distances` in the last digits.
        """
        return None if self._measured is None else self._measured()

    @cached_property
    def squared_distances(self) -> Floats:
        """`||x_i - x_j||^2`, [g, n, n]; see :attr:`Gram.squared_distances`."""
        inner = self.inner
        own = np.diagonal(inner, axis1=1, axis2=2)
        size = own[:, :, None] + own[:, None, :]
        squared: Floats = size - (inner + inner.transpose(0, 2, 1))
        squared[squared <= ROUNDING * size] = 0.0
        squared[:, range(self.n), range(self.n)] = 0.0
        return squared

    @property
    def loops(self) -> Any:
        """Compiled loops over each matrix (:attr:`Gram.loops`), or None: then sets are asked about one by one."""
        return gram_loops(self.n + 1)

    def of(self, place: int) -> Gram:
        """The Gram of one set."""
        norms = self._norms
        known = None if norms is None else lambda: norms()[place]
        return Gram(lambda: self.centred[place], self.n, norms=known)

    def mixed(self, matrices: Floats) -> Grams:
        """The Grams of the rows `matrix @ X` of each set, for mixing matrices [g, m, n]; see :meth:`Gram.mix`."""
        g, m, n = matrices.shape

        def products() -> Floats:
            full = np.zeros((g, m + 1, n + 1))
            full[:, :m, :n] = matrices
            full[:, :m, n] = 1.0 - matrices.sum(axis=2)
            full[:, m, n] = 1.0
            found: Floats = full @ self.centred @ full.transpose(0, 2, 1)
            return found

        return Grams(m, products)


def _with_origin(squared: Floats, norms: Floats) -> Floats:
    """The inner products [g, n + 1, n + 1] around the most central row of each set; the last point is the origin."""
    g, n = norms.shape
    apart = np.zeros((g, n + 1, n + 1))
    apart[:, :n, :n] = squared
    apart[:, n, :n] = apart[:, :n, n] = norms
    return _around_central(apart, n)


def _around_central(apart: Floats, n: int | None = None) -> Floats:
    """The inner products [g, p, p] around the most central of the first n points, from squared distances [g, p, p]."""
    central = np.argmin(np.median(apart[:, :n, :n], axis=2), axis=1)
    to = np.take_along_axis(apart, central[:, None, None], axis=1)
    centred: Floats = (to + to.transpose(0, 2, 1) - apart) / 2.0
    return centred
