"""Random changes of training images: images are moved, mirrored and warped, and noise is added.

One seed alone decides the changes of a client's images in a round. They depend neither on which other clients are
computed, nor on the process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.settings import Augmentation

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.floating]

_STEPS = 8  # the number of Runge-Kutta steps along a warp


class Augmenter:
    """Changes images [channels, height, width] as the settings say.

    Parameters
    ----------
    settings : which changes are made, how large they are, and for how many images
    shape : the shape of a sample
    low, high : the range of the data; `low` is the black that comes in from the edge

    Raises ParameterError when the samples are not images, or when moves are as large as the image.
    """

    def __init__(self, settings: Augmentation, shape: tuple[int, ...], low: float, high: float) -> None:
        if len(shape) != 3:
            raise ParameterError(
                f"`augment` changes images [channels, height, width]. Found samples of shape {list(shape)}. "
                "Leave it out, or use `adversarial_training`, which takes any."
            )
        if settings.crop >= min(shape[1:]):
            raise ParameterError(
                f"`augment.crop` should satisfy crop < height and width. Found crop={settings.crop} with images of "
                f"{shape[1]} x {shape[2]}."
            )
        self._settings, self._shape, self._low, self._high = settings, shape, low, high

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """The images [k, ..., channels, height, width] after the changes, with one seed for each of the k clients."""
        count = math.prod(images.shape[1:-3])
        plans = [self._plan(count, seed) for seed in seeds]
        flat = images.reshape(-1, *self._shape)
        touched = flat.new_tensor(np.concatenate([plan[0] for plan in plans])).bool()
        changed = self._moved(flat, np.concatenate([plan[1] for plan in plans]))
        if self._settings.noise:
            noise = flat.new_tensor(np.concatenate([plan[2] for plan in plans]))
            changed = (changed + self._settings.noise * noise).clamp(self._low, self._high)
        return torch.where(touched[:, None, None, None], changed, flat).reshape(images.shape)

    def _plan(self, count: int, seed: int) -> tuple[NDArray[np.bool_], Floats, NDArray[np.float32]]:
        """Draw for each image of a client whether it changes, (down, right, mirrored, time), and the noise.

        Everything is drawn, whether it is used or not, so that one setting does not influence another.
        """
        settings, rng = self._settings, np.random.default_rng(seed)
        touched = rng.random(count) < settings.share
        shifts = rng.integers(-settings.crop, settings.crop, size=(count, 2), endpoint=True)
        mirrored = rng.random(count) < settings.flip
        times = settings.warp * rng.random(count)
        noise = rng.standard_normal((count, *self._shape) if settings.noise else (0,), dtype=np.float32)
        return touched, np.column_stack([shifts, mirrored, times]), noise

    def _moved(self, images: Tensor, moves: Floats) -> Tensor:
        """The images [b, c, h, w], mirrored first, then moved, then warped: each pixel is taken from where it was."""
        if not moves.any():
            return images
        _, height, width = self._shape
        down, right, mirrored, times = moves.T[:, :, None, None]
        columns = np.arange(width)[None, None, :]
        rows = np.arange(height)[None, :, None] + down
        columns = np.where(mirrored, width - 1 - columns, columns) + right
        rows, columns = np.broadcast_arrays(rows, columns)
        if times.any():
            middle = (height - 1) / 2, (width - 1) / 2
            x, y = flow(middle[0] - rows, middle[1] - columns, times)
            rows, columns = np.rint(middle[0] - x), np.rint(middle[1] - y)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # false for NaN
        rows, columns = np.where(inside, rows, 0), np.where(inside, columns, 0)
        index = (rows * width + columns).astype(np.int64).reshape(len(images), 1, -1)
        source = torch.as_tensor(index, device=images.device).expand(-1, self._shape[0], -1)
        found = images.flatten(2).gather(2, source).reshape(images.shape)
        return torch.where(torch.as_tensor(inside, device=images.device)[:, None], found, self._low)


def flow(x: Floats, y: Floats, time: Floats) -> tuple[Floats, Floats]:
    """The points to which the flow ``x' = 2/3 x - 4/3 x y, y' = x y - y`` leads after a time (Lotka and Volterra).

    Shapes: all arguments broadcast together. Points that move to infinity end at infinity or at NaN.
    """
    step = time / _STEPS
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            a = _speed(x, y)
            b = _speed(x + step / 2 * a[0], y + step / 2 * a[1])
            c = _speed(x + step / 2 * b[0], y + step / 2 * b[1])
            d = _speed(x + step * c[0], y + step * c[1])
            x = x + step / 6 * (a[0] + 2 * b[0] + 2 * c[0] + d[0])
            y = y + step / 6 * (a[1] + 2 * b[1] + 2 * c[1] + d[1])
    return x, y


def _speed(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return 2 / 3 * x - 4 / 3 * x * y, x * y - y
