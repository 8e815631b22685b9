"""A search for neighbouring sets of rows between which a rule's answer moves as far as possible.

It shares nothing with the proofs: it only asks the rule. Rows are drawn at random, or lie in two clusters of every
size with the replaced row between them; from the best of them a hill is climbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import Aggregator

Rows = NDArray[np.float64]
SLACK = 1e-9
"""A relative error that rounding in float64 may add to a distance."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Rows [n, d], and the row [d] that takes the place of the first one."""

    rows: Rows
    other: Rows

    def replaced(self) -> Rows:
        return np.vstack([self.other, self.rows[1:]])


@dataclass(frozen=True, kw_only=True)
class Search:
    """How far one replaced row moves a rule's answer, at most as far as the search can see.

    `trusted` [d] is the server's own update, and `center` [d] what a rule was told to have released before.
    """

    rule: Aggregator
    n: int
    d: int = 2
    clip: float = 1.0
    absent: bool = False
    trusted: Rows | None = None
    center: Rows | None = None
    dtype: type = np.float64

    def distance(self, pair: Neighbours) -> float:
        """How far apart the two answers are."""
        first, second = (self._answer(rows) for rows in (pair.rows, pair.replaced()))
        return float(np.linalg.norm(first - second))

    def farthest(self, rng: np.random.Generator, starts: int = 60, climbs: int = 3, steps: int = 60) -> float:
        """The largest distance that was found."""
        pairs = [*self._clusters(rng), *(self._random(rng) for _ in range(starts))]
        ranked = sorted(((self.distance(pair), place) for place, pair in enumerate(pairs)), reverse=True)
        best = ranked[0][0]
        for found, place in ranked[:climbs]:
            best = max(best, self._climbed(pairs[place], found, rng, steps))
        return best

    def _answer(self, rows: Rows) -> Rows:
        self.rule.reset()
        if self.center is not None:
            self.rule.released(self.center.astype(self.dtype))
        trusted = None if self.trusted is None else self.trusted.astype(self.dtype)
        value: Rows = self.rule(rows.astype(self.dtype), trusted=trusted).astype(np.float64)
        return value

    def _pair(self, rows: Rows, other: Rows) -> Neighbours:
        """Neighbours that are clipped as they have to be."""
        everything = np.vstack([rows, other])
        lengths = np.linalg.norm(everything, axis=1, keepdims=True)
        everything *= self.clip / np.maximum(lengths, self.clip)
        return Neighbours(rows=everything[:-1], other=everything[-1] * (not self.absent))

    def _random(self, rng: np.random.Generator) -> Neighbours:
        rows = rng.normal(size=(self.n, self.d)) * rng.choice([0.1, 1.0, 10.0]) * self.clip
        rows += rng.normal(size=self.d) * rng.choice([0.0, 1.0]) * self.clip
        return self._pair(rows, -rows[0] if rng.random() < 0.5 else rng.normal(size=self.d) * self.clip)

    def _clusters(self, rng: np.random.Generator) -> Iterator[Neighbours]:
        """Two clusters at opposite places, or at a place and zero, or at right angles, with or without a jitter."""
        axis, across = np.eye(self.d)[0] * self.clip, np.eye(self.d)[-1] * self.clip
        for size in range(self.n):
            for away in (-axis, 0 * axis, across):
                rows = np.vstack([axis, *[axis] * size, *[away] * (self.n - 1 - size)])
                yield self._pair(rows, -axis)
                yield self._pair(rows + 1e-3 * rng.normal(size=rows.shape), away)
                if not self.absent:
                    yield self._pair(rows, 0 * axis)
                    yield self._pair(np.vstack([away, rows[1:]]), 0 * axis)

    def _climbed(self, pair: Neighbours, found: float, rng: np.random.Generator, steps: int) -> float:
        width = 0.5 * self.clip
        for _ in range(steps):
            rows = pair.rows + width * rng.normal(size=pair.rows.shape) * (rng.random((self.n, 1)) < 0.4)
            step = self._pair(rows, pair.other + width * rng.normal(size=self.d))
            reached = self.distance(step)
            if reached > found:
                pair, found = step, reached
            else:
                width *= 0.93
        return found
