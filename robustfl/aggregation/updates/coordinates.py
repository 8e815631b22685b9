"""Rows in as few dimensions as they span, with every distance and product between them kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.updates.layout import read_updates


def coordinates(rows: Sequence[Any] | Any) -> Floats:
    """The same constellation of points in a space of its own: [m, d] -> [m, k], k <= m + 1, in float64.

    Formula: with the Gram of the rows around a common reference, ``C = V diag(l) V^T``, they lie at the rows of
    ``V diag(l)^(1/2)``; the origin lies at ``diag(l)^(-1/2) V^T c`` for its products c with them, and off their span by
    what its length leaves over. All is then moved so that the origin is 0. Sums of rows with weights are the same sums
    of coordinates, whatever the weights, and all products are kept; a part that all rows share costs their distances
    no digit. A rule that turns with its rows (:attr:`~robustfl.aggregation.Defense.rotation_equivariant`) therefore
    answers in coordinates what it would answer in full.

    Cost: one Gram of m rows, O(m^2 d), and O(m^3). `rows` in any form that aggregators take.

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
