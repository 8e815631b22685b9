"""Rows as points in a space of few dimensions, with the same distances and inner products between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.updates.layout import read_updates


def coordinates(rows: Sequence[Any] | Any) -> Floats:
    """Points in few dimensions with the same distances and inner products as the rows: [m, d] -> [m, k], k <= m + 1.

    Formula: let ``C = V diag(l) V^T`` be the Gram of the rows around a common reference. The rows then have the
    coordinates ``V diag(l)^(1/2)``. The origin has the coordinates ``diag(l)^(-1/2) V^T c``, where c are its inner
    products with the rows, and one more coordinate for the part of it that lies outside of their span. At last all
    points are shifted so that the origin is 0.

    A weighted sum of rows has as coordinates the same weighted sum of their coordinates, whatever the weights. A large
    part that all rows share costs their distances no precision. If a rule is rotation equivariant
    (:attr:`~robustfl.aggregation.Defense.rotation_equivariant`), its answer to the coordinates is therefore the
    coordinates of its answer to the rows.

    The result is float64. `rows` may have any form that aggregators accept.

    Cost: one Gram of m rows, O(m^2 d), and O(m^3) after it.

    Raises
    ------
    HostileRows : a row is not finite, or too large to sum

    Examples
    --------
    >>> from robustfl.aggregation.updates.coordinates import coordinates
    >>> points = coordinates([[3.0, 4.0, 0.0, 0.0], [6.0, 8.0, 0.0, 0.0]])
    >>> (points @ points.T).round(9).tolist()
    [[25.0, 50.0], [50.0, 100.0]]
    """
    source = read_updates(rows).source()
    source.geometric = True
    centred, n = source.gram.centred, source.n
    values, vectors = np.linalg.eigh((centred[:n, :n] + centred[:n, :n].T) / 2.0)
    rounding = 4 * n * np.finfo(np.float64).eps
    kept = values > rounding * max(values[-1], 0.0)
    roots = np.sqrt(values[kept])
    points = vectors[:, kept] * roots
    origin = vectors[:, kept].T @ centred[:n, n] / roots
    left = centred[n, n] - origin @ origin
    above = np.sqrt(left) if left > rounding * centred[n, n] else 0.0
    return np.hstack([points - origin, np.full((n, 1), above)])
