"""What rules around the own model have in common: the weight of the worst neighbours, and clipping by distance."""

from __future__ import annotations

import numpy as np

from robustfl.aggregation.kernels.base import Floats

SLACK = 1e-12
"""Cumulated weights miss the sum that is meant by less: 0.2 + 0.2 + 0.2 is not 0.6."""


def heaviest(w: Floats, b: int) -> Floats:
    """The most gossip weight [g] that any b of the neighbours have together, for weights [g, k]."""
    k = w.shape[1]
    taken: Floats = np.sort(w, axis=1)[:, k - min(b, k) :].sum(axis=1)
    return taken


def by_distance(distances: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """Distances and weights [g, k + 1] in ascending order of the distance, the own model first, and cumulated weights.

    Equal distances stay in the order of the ids.
    """
    order = np.argsort(distances, axis=1, kind="stable")
    own = np.maximum(1.0 - w.sum(axis=1, keepdims=True), 0.0)
    far = np.concatenate([np.zeros_like(own), np.take_along_axis(distances, order, axis=1)], axis=1)
    weights = np.concatenate([own, np.take_along_axis(w, order, axis=1)], axis=1)
    return far, weights, np.cumsum(weights, axis=1)


def clipped(distances: Floats, w: Floats, radius: Floats) -> Floats:
    """The shares [g, k + 1] of ``x_i + sum_j w_ij clip(x_j - x_i, radius_i)``, for distances and weights [g, k].

    ``clip(z, r) = z min(1, r/||z||)``; a letter that is the own model counts in full.
    """
    reach = np.broadcast_to(radius[:, None], distances.shape)
    factor = np.divide(reach, distances, out=np.ones_like(distances), where=distances > reach)
    kept = w * factor
    return with_own(kept)


def with_own(shares: Floats) -> Floats:
    """The shares [g, k + 1] of which the neighbours have these [g, k], and the own model, in front, the rest."""
    own = np.maximum(1.0 - shares.sum(axis=1, keepdims=True), 0.0)
    return np.concatenate([own, shares], axis=1)
