"""Rewards: the part of an aggregate that a client gets, which is larger for a client with a better reputation.

>>> import numpy as np
>>> reward(np.array([3.0, -1.0, 0.5, -2.0]), 0.5).tolist()
[3.0, 0.0, 0.0, -2.0]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor
from robustfl.errors import ParameterError, UpdatesError


def reward(update: Any, quota: float) -> Any:
    """The update with only the entries of largest magnitude in every layer, and zeros elsewhere.

    Formula: of a layer with m entries, those are kept whose magnitude is at least the ``ceil(quota m)``-th largest one.
    All entries that tie with it are kept, so the order of the entries does not matter. A quota of 1 keeps all entries,
    a quota of 0 keeps none. (In the authors' code, the smallest entry of a layer without ties is never given to
    anybody; here the best client gets everything.)

    Parameters
    ----------
    update : a numpy array or torch tensor, which is one layer; a list of these; or a mapping from names to these.
        Layers of integers (counters) are returned unchanged
    quota : share of the entries that is kept, from 0 to 1

    Raises
    ------
    ParameterError : the quota is not between 0 and 1
    UpdatesError : a layer is no array, or is not finite (magnitudes of NaN have no order)
    """
    if not 0.0 <= quota <= 1.0:
        raise ParameterError(f"`quota` should satisfy 0 <= quota <= 1. Found quota={quota}.")
    if isinstance(update, Mapping):
        return {name: _of_layer(layer, quota) for name, layer in update.items()}
    if isinstance(update, list | tuple):
        return [_of_layer(layer, quota) for layer in update]
    return _of_layer(update, quota)


def cutoffs(layer: Any, quotas: Iterable[float]) -> list[float]:
    """The smallest magnitude that is kept with each quota, or infinity if nothing is kept; the layer is sorted once.

    Raises UpdatesError when the layer is not finite.
    """
    flat = abs(layer).reshape(-1)
    ascending = flat.sort().values if is_tensor(layer) else np.sort(flat)
    size = len(flat)
    if not math.isfinite(float(ascending[-1])):  # infinity and NaN are sorted to the end
        raise UpdatesError("An update that rewards are cut from should be finite. It is not.")
    # a product that differs from an integer only by rounding is meant to be that integer
    counts = [min(size, math.ceil(quota * size * (1.0 - 1e-12))) for quota in quotas]
    return [float(ascending[size - count]) if count else math.inf for count in counts]


def _of_layer(layer: Any, quota: float) -> Any:
    """The reward of one layer of any shape."""
    if is_tensor(layer):
        if not layer.is_floating_point() or not layer.numel():
            return layer
        return layer.where(abs(layer) >= cutoffs(layer, [quota])[0], layer.new_zeros(()))
    if not isinstance(layer, np.ndarray | np.generic):
        raise UpdatesError(f"A layer should be a numpy array or a torch tensor. Found {type(layer).__name__}.")
    if layer.dtype.kind != "f" or not layer.size:
        return layer
    return np.where(np.abs(layer) >= cutoffs(layer, [quota])[0], layer, layer.dtype.type(0))
