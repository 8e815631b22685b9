"""The sanitised update matrix as rules see it: rows that may be mixtures of the rows that came in."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from robustfl.aggregation.gram import Gram
from robustfl.aggregation.kernels import Array, Floats, Kernels, column_blocks, kernels_for

FAR = 1e6
"""Squared distance of the reference row, in squared distances between rows: beyond it, ten digits are not enough."""


@dataclass
class Source:
    """The data that a whole pipeline reads: the accepted rows [n, d], extra points [e, d] and their Gram."""

    matrix: Array
    ids: tuple[Hashable, ...]
    squared_norms: Floats
    extras: list[Array] = field(default_factory=list)

    @cached_property
    def kernels(self) -> Kernels:
        return kernels_for(self.matrix)

    @cached_property
    def gram(self) -> Gram:
        """The Gram of rows, origin and extra points; the data are read when a rule first asks for something in it."""
        return Gram(self._centred_gram, len(self.matrix), len(self.extras))

    def _centred_gram(self) -> Floats:
        """Inner products around the row of median norm: one row of any size cannot spoil it, as it would the mean.

        A hostile row can have the median norm too (honest rows with the sign flipped do). Where the reference turns
        out to lie far from rows that are close together, the data are read once more, around one of those.
        """
        gram = self._gram_around(int(np.argsort(self.squared_norms, kind="stable")[(len(self.matrix) - 1) // 2]))
        offset = gram.centred[gram.central, gram.central]
        if offset > FAR * np.median(gram.squared_distances[gram.central]):
            return self._gram_around(gram.central).centred
        return gram.centred

    def _gram_around(self, row: int) -> Gram:
        origin = self.kernels.stack([self.kernels.zeros(self.matrix.shape[1], like=self.matrix)])
        points = [self.matrix, origin]
        if self.extras:
            points.append(self.kernels.stack(self.extras))
        return Gram(self.kernels.centred_gram(points, self.matrix[row]), len(self.matrix))


@dataclass(frozen=True)
class Rows:
    """Rows `mixing @ X` over a shared source `X` [n, d]; without a mixing they are the source's own rows.

    The mixture is never formed as a whole: the Gram is mixed in `n x n`, results are combined from the source, and
    column-wise rules see it one block of columns at a time.
    """

    source: Source
    mixing: Floats | None = None

    @property
    def n(self) -> int:
        """Number of rows that the rule sees."""
        return len(self.source.matrix) if self.mixing is None else len(self.mixing)

    @property
    def d(self) -> int:
        """Number of columns (parameters)."""
        return int(self.source.matrix.shape[1])

    @property
    def kernels(self) -> Kernels:
        return self.source.kernels

    @cached_property
    def gram(self) -> Gram:
        """Gram space of these rows."""
        return self.source.gram if self.mixing is None else self.source.gram.mix(self.mixing)

    @property
    def squared_norms(self) -> Floats:
        """`||x_i||^2`, [n]; rows that are no mixtures need no geometry for it."""
        return self.source.squared_norms if self.mixing is None else self.gram.squared_norms

    def mixed(self, matrix: Floats) -> Rows:
        """The rows after one more linear map [m, n]."""
        return Rows(self.source, matrix if self.mixing is None else matrix @ self.mixing)

    def source_weights(self, weights: Floats) -> Floats:
        """Weights over these rows as weights over the rows that came in."""
        return weights if self.mixing is None else weights @ self.mixing

    def combine(self, weights: Floats) -> Array:
        """`sum_i w_i x_i` [d]; entries of `weights` beyond the rows belong to the extra points, in order."""
        value = self.kernels.combine(self.source_weights(weights[: self.n]), self.source.matrix)
        if len(weights) > self.n:
            value = value + self.kernels.combine(weights[self.n :], self.kernels.stack(self.source.extras))
        return value

    def blocks(self) -> Iterator[Array]:
        """The rows, a block of columns [n, b] at a time."""
        for block in column_blocks(self.d, self.kernels.block):
            part = self.source.matrix[:, block]
            yield part if self.mixing is None else self.kernels.combine(self.mixing, part)

    def materialised(self) -> Array:
        """The rows as a matrix [n, d] of their own; only for rules that are neither geometric nor column-wise."""
        return self.source.matrix if self.mixing is None else self.kernels.combine(self.mixing, self.source.matrix)
