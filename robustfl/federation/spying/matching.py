"""How close reconstructions come to the samples: pairs, PSNR, SSIM, and which samples are recognised.

>>> import torch
>>> originals = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
>>> found = matched(torch.stack([torch.full((1, 4, 4), 0.9), torch.full((1, 4, 4), 0.1)]), originals, 0.0, 1.0)
>>> found.places.tolist(), [round(value, 3) for value in found.psnr.tolist()]
([1, 0], [20.0, 20.0])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

MOST_PSNR = 100.0
"""The PSNR in dB of a perfect reconstruction; without such a cap a mean over samples would be infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """The distinct originals of a sighting, and what was made of each.

    Attributes
    ----------
    originals : [o, *shape] the samples without repetitions, each divided by the range of the data
    found : [o, *shape] the reconstruction that belongs to each, likewise; NaN where there is none
    places : [o] its place among those that were handed in; -1 where there is none
    psnr : [o] in dB, at most :data:`MOST_PSNR`; 0 where there is none
    """

    originals: Tensor
    found: Tensor
    places: Tensor
    psnr: Tensor

    def share(self, decibels: float) -> float:
        """The share of originals whose reconstruction has this PSNR, or more."""
        return float((self.psnr >= decibels).double().mean())


def distinct(samples: Tensor) -> Tensor:
    """The samples [n, ...] without repetitions, bit for bit, in the order in which they first occur."""
    kept: dict[bytes, int] = {}
    for place, sample in enumerate(samples.cpu().numpy()):
        kept.setdefault(sample.tobytes(), place)
    return samples[list(kept.values())]


def scaled(samples: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Samples within the range of the data, as numbers from 0 to 1; features that never change are 0."""
    span = torch.as_tensor(high, device=samples.device) - torch.as_tensor(low, device=samples.device)
    inside = samples.clamp(torch.as_tensor(low).to(samples), torch.as_tensor(high).to(samples))
    return torch.where(span > 0, (inside - low) / span.clamp(min=torch.finfo(samples.dtype).tiny), 0.0)


def errors(found: Tensor, originals: Tensor) -> Tensor:
    """The mean squared errors of all pairs, [m, *shape], [o, *shape] -> [m, o], in float64."""
    return torch.cdist(
        found.double().flatten(1), originals.double().flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
    ).square() / max(1, found[0].numel() if len(found) else originals[0].numel())


def psnr(error: Tensor) -> Tensor:
    """``10 log10(1 / error)`` in dB, at most :data:`MOST_PSNR` and at least 0."""
    return (-10.0 * error.clamp(min=10 ** (-MOST_PSNR / 10)).log10()).clamp(min=0.0)


def matched(found: Tensor, originals: Tensor, low: Tensor | float, high: Tensor | float) -> Matched:
    """Pair reconstructions with originals so that the sum of squared errors is smallest (Hungarian method).

    Reconstructions that are not finite do not count. With fewer reconstructions than originals, some have none.

    Shapes: [m, *shape], [n, *shape]. Cost: O(m n features + max(m, n)^3).
    """
    from scipy.optimize import linear_sum_assignment

    own = scaled(distinct(originals), low, high)
    usable = torch.nonzero(found.flatten(1).isfinite().all(dim=1)).flatten()
    guesses = scaled(found[usable].to(own), low, high)
    error = errors(guesses, own)  # [m, o]
    rows, columns = linear_sum_assignment(error.cpu().numpy())
    places = torch.full((len(own),), -1, dtype=torch.int64)
    values = torch.zeros(len(own), dtype=torch.float64)
    pictures = torch.full_like(own, float("nan"))
    taken = torch.as_tensor(np.asarray(columns))
    places[taken] = usable.cpu()[torch.as_tensor(np.asarray(rows))]
    values[taken] = psnr(error[rows, columns]).cpu()
    pictures[columns] = guesses[rows]
    return Matched(originals=own, found=pictures, places=places, psnr=values)


def recognised(pairs: Matched, everything: Tensor) -> float:
    """The share of originals that are the nearest image to their reconstruction among all training samples.

    `everything` [N, *shape] holds them in the scale of `pairs`; an original that is not among them, because its client
    changed it, stands beside them. Chance is 1/N.
    """
    has = pairs.places >= 0
    if not bool(has.any()):
        return 0.0
    found, own = pairs.found[has], pairs.originals[has]
    apart = (found - own).double().square().flatten(1).mean(dim=1)
    nearest = errors(found, everything).amin(dim=1)
    return float((apart <= nearest * (1 + 1e-9) + 1e-15).sum()) / len(pairs.places)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """The structural similarity of pairs of images [m, channels, height, width] with values from 0 to 1, [m].

    A Gaussian window of 11 x 11 pixels (7 x 7 where a side is below 11) with sigma 1.5 slides inside the image; means
    are over windows and channels. With a side below 7, one window covers the image. K1 = .01, K2 = .03.

    Reference: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli. Image Quality Assessment: From Error Visibility to
    Structural Similarity. IEEE Transactions on Image Processing 13, 2004.
    """
    x, y = first.double(), second.double()
    side, channels = min(x.shape[-2:]), x.shape[1]
    if side < 7:
        window = torch.full(x.shape[-2:], 1.0 / (x.shape[-2] * x.shape[-1]), dtype=x.dtype, device=x.device)
    else:
        width = 11 if side >= 11 else 7
        line = torch.exp(-(torch.arange(width, dtype=x.dtype, device=x.device) - width // 2).square() / (2 * 1.5**2))
        window = torch.outer(line, line) / line.sum().square()
    kernel = window.expand(channels, 1, *window.shape)

    def mean(values: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(values, kernel, groups=channels)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return value.flatten(1).mean(dim=1)
