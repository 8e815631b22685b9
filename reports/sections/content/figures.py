"""The geometry of the SVG figures: it turns values into coordinates and paths and knows nothing of style.

Coordinates have one decimal, so that equal results give equal bytes and files stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from .drawings import Path, Words

Point = tuple[float, float | None]
"""x and y; y is None if the value is not known, and the line then has a gap."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A plot area inside an SVG of `width` x `height` units, over x in [low, high] and y in [0, 1]."""

    width: float
    height: float
    low: float
    high: float
    left: float = 26
    right: float = 8
    top: float = 8
    bottom: float = 22

    def x(self, value: float) -> float:
        """The horizontal coordinate of a value; a single x value is in the middle."""
        inner = self.width - self.left - self.right
        share = 0.5 if self.high <= self.low else (value - self.low) / (self.high - self.low)
        return round(self.left + share * inner, 1)

    def y(self, value: float) -> float:
        """The vertical coordinate of a value; values outside [0, 1] are drawn at the edge."""
        inner = self.height - self.top - self.bottom
        return round(self.top + (1 - min(max(value, 0.0), 1.0)) * inner, 1)

    @property
    def end(self) -> float:
        """The horizontal coordinate at which the area ends."""
        return self.width - self.right

    def across(self, value: float) -> str:
        """An SVG path at the height of a value, from edge to edge."""
        return f"M{self.left:g} {self.y(value):g}H{self.end:g}"

    @cache  # noqa: B019 - frames are small values, and most figures of a page share one
    def axes(self) -> tuple[Path | Words, ...]:
        """Lines at 0, one half and 1, with their labels."""
        marks = {"1": 1.0, "0.5": 0.5, "0": 0.0}
        grid = Path(d="".join(self.across(value) for value in marks.values()), meaning="grid")
        texts = (Words(x=self.left - 6, y=self.y(value) + 4, text=text, anchor="end") for text, value in marks.items())
        return (grid, *texts)

    def line(self, points: Iterable[Point]) -> str:
        """An SVG path through the points, interrupted where y is None."""
        return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in run) for run in self._runs(points))

    def band(self, points: Iterable[tuple[float, Sequence[float] | None]]) -> str:
        """A closed SVG path around intervals [low, high], interrupted where an interval is missing."""
        known = list(points)
        lows = self._runs((x, pair[0] if pair else None) for x, pair in known)
        highs = self._runs((x, pair[1] if pair else None) for x, pair in known)
        paths = []
        for low, high in zip(lows, highs, strict=True):
            paths.append("M" + "L".join(f"{x:g} {y:g}" for x, y in [*high, *reversed(low)]) + "Z")
        return "".join(paths)

    def _runs(self, points: Iterable[Point]) -> Iterator[list[tuple[float, float]]]:
        for known, run in groupby(points, key=lambda point: point[1] is not None):
            if known:
                yield [(self.x(x), self.y(y)) for x, y in run if y is not None]


def thinned(points: Sequence[Point], limit: int = 60) -> list[Point]:
    """At most about `limit` of the points, evenly spaced, always with the first and the last."""
    step = max(1, math.ceil(len(points) / limit))
    kept = list(points[::step])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def ticks(values: Sequence[int], limit: int = 8) -> list[int]:
    """At most about `limit` of the sorted values, always with the first and the last."""
    step = max(1, math.ceil((len(values) - 1) / (limit - 1))) if values else 1
    kept = list(values[::step])
    if values and kept[-1] != values[-1]:
        kept[-1:] = [values[-1]] if len(kept) > 1 else [*kept, values[-1]]
    return kept


def radius(count: int, largest: int, full: float) -> float:
    """The radius of a dot whose area is in proportion to a count; the radius of the largest count is `full`."""
    return round(full * math.sqrt(count / largest), 1) if count > 0 and largest > 0 else 0.0
