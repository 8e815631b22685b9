"""Angles between weighted sums of the points in a Gram."""

from __future__ import annotations

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.updates.gram import ROUNDING, Gram


def cosines_and_lengths(gram: Gram, combinations: Floats) -> tuple[Floats, Floats]:
    """Cosines [m, m] between the vectors `combinations @ points`, and their lengths [m].

    `combinations` is [m, n + e], over the rows and then the extra points. A vector that consists only of rounding
    errors gets the length 0, and the cosine 0 with every other vector. Every vector has the cosine 1 with itself.
    """
    around_origin = np.insert(combinations, gram.n, -combinations.sum(axis=1), axis=1)
    products = around_origin @ gram.centred @ around_origin.T
    own = np.diag(products)
    reach = np.abs(around_origin) @ np.sqrt(np.maximum(np.diag(gram.centred), 0.0))
    lengths = np.sqrt(np.where(own > 4 * ROUNDING * reach**2, own, 0.0))
    outer = lengths[:, None] * lengths[None, :]
    cosines = np.clip(np.divide(products, outer, out=np.zeros_like(products), where=outer > 0), -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines, lengths
