"""Scaling messages back to a length, whatever they hold; and a length that follows the messages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.aggregation import AdaptiveClip
from robustfl.aggregation.kernels.choice import compiles
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor

TOUCHED = 1e-6
"""A message counts as shorter than the clip when it is shorter by more than this share: one that was scaled back is as
long as the clip, up to rounding."""

COMPILED = (torch.float32, torch.float64)
"""The kinds of numbers that compiled kernels clip."""

GROWTH = 10.0
"""The clip never exceeds so many times its first value."""


def clipped(rows: Tensor, length: float) -> Tensor:
    """The rows [..., d], each scaled back to the L2 norm `length` where it is longer.

    Formula: ``x min(1, C/||x||)``, with norms in float64. A row that holds NaN or infinity, or whose norm overflows,
    becomes zero: like a row that never came, it says nothing. A row that is short enough, up to the rounding of its
    numbers, keeps its bits, so what is clipped stays the same when it is clipped again. If all rows are, they are not
    copied.

    >>> import torch
    >>> clipped(torch.tensor([[3.0, 4.0], [0.3, 0.4], [float("nan"), 0.0], [1e38, 0.0]]), 1.0).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.30000001192092896, 0.4000000059604645], [0.0, 0.0], [1.0, 0.0]]
    """
    limit = length * (1 + 2 * torch.finfo(rows.dtype).eps)
    if rows.ndim == 2 and rows.is_contiguous() and rows.dtype in COMPILED and rows.device.type == "cpu" and compiles():
        from robustfl.federation.mechanisms.compiled_clipping import measured, shortened

        given, found = rows.detach().numpy(), np.empty(len(rows))
        if measured(given, found) <= limit:
            return rows
        out = torch.empty_like(rows, memory_format=torch.contiguous_format)
        shortened(given, found, limit, length, out.numpy())
        return out
    norms = lengths(rows)
    longest = norms.max().item() if norms.numel() else 0.0  # NaN if any is
    if longest <= limit:
        return rows
    factors = (length / norms).masked_fill_(norms <= limit, 1.0)
    scaled = rows * factors.to(rows.dtype)[..., None]
    return scaled if math.isfinite(longest) else torch.where(norms.isfinite()[..., None], scaled, 0.0)


def lengths(rows: Tensor) -> Tensor:
    """The L2 norms [...] of rows [..., d] in float64; not finite where a row is not."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, dtype=torch.float64)
    return norms


class Clip:
    """The clip of each round: constant, or one that follows a quantile of the lengths of the messages.

    Formula (Andrew et al.): every message of a round tells one bit, whether it is shorter than C. With the noise b of
    standard deviation `count_noise` and the *expected* number n of messages, ``share = 1/2 + (sum (bit - 1/2) + b)/n``
    and then ``C <- C exp(-rate (share - quantile))``. A message that did not come adds nothing. C never exceeds
    :data:`GROWTH` times its first value, so whoever sends long messages cannot raise it without end.

    A round's noise belongs to the clip with which its messages were clipped, so :meth:`follow` comes last.

    Parameters
    ----------
    first : the first clip
    adaptive : how it follows; None for a constant clip

    References
    ----------
    G. Andrew, O. Thakkar, H. B. McMahan, S. Ramaswamy. Differentially Private Learning with Adaptive Clipping. NeurIPS
    2021.
    """

    def __init__(self, first: float, adaptive: AdaptiveClip | None = None) -> None:
        self.value, self._first, self._adaptive = first, first, adaptive
        self.used: list[float] = []

    def count(self, rows: Tensor) -> float:
        """The sum of ``bit - 1/2`` over messages [k, d] as they came; one that is not finite is not short.

        It is 0 for a clip that is constant, for which nobody asks.
        """
        if self._adaptive is None:
            return 0.0
        return float((lengths(rows) < self.value * (1 - TOUCHED)).double().sub(0.5).sum())

    def follow(self, count: float, expected: float, rng: np.random.Generator) -> None:
        """End a round: draw the noise of the count and move the clip."""
        self.used.append(self.value)
        if self._adaptive is None:
            return
        noise = self._adaptive.count_noise * float(rng.standard_normal())
        share = 0.5 + (count + noise) / expected
        grown = math.exp(-self._adaptive.rate * (min(max(share, -1.0), 2.0) - self._adaptive.quantile))
        self.value = min(self.value * grown, GROWTH * self._first)


def left_for_the_sum(noise_multiplier: float, adaptive: AdaptiveClip | None) -> float:
    """The noise multiplier of the sum, so that the sum and the count together cost what `noise_multiplier` says.

    Formula: ``(z^-2 - (2 s)^-2)^(-1/2)``, as a bit moves the count by 1/2 around its middle. It is larger than z, and
    there is none unless ``z < 2 s``.

    Raises ParameterError when the count alone would cost more than all of it.
    """
    if adaptive is None or noise_multiplier == 0:
        return noise_multiplier
    if noise_multiplier >= 2 * adaptive.count_noise:
        raise ParameterError(
            "`noise_multiplier` should satisfy noise_multiplier < 2 count_noise, or the count of short messages alone "
            f"would cost more than all of it. Found noise_multiplier={noise_multiplier:.6g}, "
            f"count_noise={adaptive.count_noise:g}. Raise count_noise, or take a constant clip."
        )
    return 1 / math.sqrt(noise_multiplier**-2 - (2 * adaptive.count_noise) ** -2)
