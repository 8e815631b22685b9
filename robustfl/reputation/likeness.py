"""How much those are trusted whose histories point in the same direction as somebody else's."""

from __future__ import annotations

import numpy as np

from robustfl.aggregation.kernels.base import Floats

ALIKE = 1e-9
"""If no client's trust exceeds this, all histories have one direction: dividing by it would amplify rounding errors."""


def trust(cosines: Floats, here: np.ndarray, confidence: float = 1.0) -> Floats:
    """The weights in [0, 1] of the clients `here` [n], from cosines [m, m] between all histories.

    All are zero when all histories have the same direction. Otherwise the largest weight is 1, unless `confidence` is
    below 0.2.
    """
    similar = cosines.copy()
    np.fill_diagonal(similar, 0.0)
    most = similar.max(axis=1)
    ratio = np.divide(most[:, None], most[None, :], out=np.ones_like(similar), where=most[:, None] < most[None, :])
    apart = (1.0 - (similar * ratio).max(axis=1))[here]
    if apart.max() < ALIKE:
        return np.zeros(len(here))
    scaled = np.minimum(apart / apart.max(), 0.99)
    weights: Floats = np.clip(confidence * (np.log(scaled / (1.0 - scaled) + 1e-5) + 0.5), 0.0, 1.0)
    return weights
