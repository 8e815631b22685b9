"""How much those are trusted whose histories point in the same direction as somebody else's."""

from __future__ import annotations

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats

ALIKE = 1e-9
"""If no history is farther from the others than this, all have one direction: dividing by that would amplify rounding
errors."""


def apart(cosines: Floats) -> Floats:
    """How far each history is from the one that is most like it, ``1 - max cosine`` [m], from cosines [m, m].

    A history is pardoned for its likeness to one that is still more like a third.
    """
    similar = cosines.copy()
    np.fill_diagonal(similar, 0.0)
    most = similar.max(axis=1)
    ratio = np.divide(most[:, None], most[None, :], out=np.ones_like(similar), where=most[:, None] < most[None, :])
    distances: Floats = 1.0 - (similar * ratio).max(axis=1)
    return distances


def rescaled(distances: Floats, confidence: float = 1.0) -> Floats:
    """The weights in [0, 1] of histories that are so far from the others: the farthest one has the weight 1.

    All are zero when nothing is far from the others.
    """
    if distances.max() < ALIKE:
        return np.zeros(len(distances))
    scaled = np.clip(distances / distances.max(), 0.0, 0.99)
    weights: Floats = np.clip(confidence * (np.log(scaled / (1.0 - scaled) + 1e-5) + 0.5), 0.0, 1.0)
    return weights


def trust(cosines: Floats, here: np.ndarray, confidence: float = 1.0) -> Floats:
    """The weights in [0, 1] of the clients `here` [n], from cosines [m, m] between all histories.

    All are zero when all histories have the same direction. Otherwise the largest weight is 1, unless `confidence` is
    below 0.2.
    """
    return rescaled(apart(cosines)[here], confidence)


def unit_step(before: Array | None, after: Array, history: Array | None) -> Array:
    """The history with the direction from a vector [d] to the next one; it is zero for a first vector."""
    step = np.zeros(len(after)) if before is None else after.astype(np.float64) - before
    length = float(np.sqrt(step @ step))
    if length > 0.0:
        step /= length
    if history is not None:
        step += history
    return step.astype(after.dtype)
