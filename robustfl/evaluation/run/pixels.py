"""Images as texts that are small enough to be stored with the results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGEST = 64
"""The largest height and width of a picture; of larger images only some rows and columns are kept."""


def thinning(shape: Sequence[int]) -> int:
    """Of an image [channels, height, width] so many rows, and columns, have one that is kept."""
    return max(1, -(-max(shape[1:]) // LARGEST))


def levels(image: NDArray[np.float32], low: float, high: float) -> str:
    """The grey levels or colours of an image [channels, height, width] as hexadecimal bytes, row by row."""
    found = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
    return bytes(np.round(255 * found).astype(np.uint8).transpose(1, 2, 0).tobytes()).hex()
