"""Flips bits of floating-point numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


Masks = npt.NDArray[np.int64]


def bit_masks(values: Tensor) -> Masks:
    """One mask for each bit of a number of this type, from the last bit of the mantissa to the sign."""
    width = 8 * values.element_size()
    return np.array([1 << bit for bit in range(width - 1)] + [-(1 << (width - 1))])


def flipped(values: Tensor, flips: Masks) -> Tensor:
    """The numbers after flipping the bits that are set in `flips`, which has the same shape."""
    import torch

    whole: Any = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    turned = torch.as_tensor(flips, device=values.device).to(whole)
    return (values.contiguous().view(whole) ^ turned).view(values.dtype)
