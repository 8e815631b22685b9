"""The compiled version of the operations on the host: order statistics, geometry and sums in numba."""

from __future__ import annotations

from typing import ClassVar

from robustfl.aggregation.kernels import compiled
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.kernels.host import Host, WholeGram


class Compiled(Host):
    """The operations in numba; those that are not listed here stay in numpy, because they take little time."""

    compiled: ClassVar[bool] = True

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        return compiled.row_extent(block)

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        return compiled.centred_gram(block, reference, block[:0] if extras is None else extras)

    def combine(self, weights: Floats, block: Array) -> Array:
        return compiled.combine(weights, block)

    def fits(self, block: Array, limit: float) -> bool:
        return compiled.fits(block, limit)

    def clean_combine(self, weights: Floats, block: Array, limit: float) -> Array | None:
        return compiled.clean_combine(weights, block, limit)

    def clean_gram(
        self, block: Array, limit: float, extras: Array | None, alike: float, ratio: float, rounding: float
    ) -> WholeGram:
        return compiled.clean_gram(block, limit, extras, alike, ratio, rounding)

    def clipped(self, block: Array, center: Array, iterations: int, radius: float) -> tuple[Array, Floats] | None:
        return compiled.clipped(block, center, iterations, radius)

    def median(self, block: Array, *, exact: bool = False) -> Array:
        return compiled.median(block, exact=exact)

    def trimmed_mean(self, block: Array, f: int, *, exact: bool = False) -> Array:
        return compiled.trimmed_mean(block, f, exact=exact)

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        return compiled.mean_around(block, centre, count)
