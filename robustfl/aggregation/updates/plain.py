"""Updates that are one clean dense array in the memory of the host, recognised without a description of their parts.

This is what simulations ask about a million times. Everything else, and every fault, is left to
:func:`~robustfl.aggregation.updates.layout.read_updates`, which has a reason for what it refuses.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.updates.one_block import OneBlock, source_of
from robustfl.aggregation.updates.readers import Dense, mapped_file

WORKING = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}


def plain_source(updates: Any, ids: Any = None) -> OneBlock | None:
    """The source that `read_updates` would find, if `updates` are a plain matrix that is one block; else None.

    So are ids that are plain: a list or a tuple of numbers and texts, of which no two are equal.
    """
    if ids is not None and (type(ids) not in (list, tuple) or not set(map(type, ids)) <= {int, str}):
        return None
    kind = type(updates)
    if kind is np.ndarray:
        working = WORKING.get(updates.dtype)
        plain = working is not None and (updates.base is None or mapped_file(updates) is None)
    else:
        torch = sys.modules.get("torch")
        if torch is None or kind is not torch.Tensor or updates.layout is not torch.strided:
            return None
        working = "float32" if updates.dtype is torch.float32 else "float64" if updates.dtype is torch.float64 else None
        plain = working is not None and updates.is_cpu and not (updates.is_neg() or updates.is_nested)
    if working is None or not plain or updates.ndim != 2 or 0 in updates.shape:
        return None
    if kind is not np.ndarray and updates.untyped_storage().nbytes() == 0:
        return None
    matrix = updates if kind is np.ndarray else updates.detach().numpy()
    names = tuple(range(len(matrix)) if ids is None else ids)
    if ids is not None and not len(set(names)) == len(names) == len(matrix):
        return None
    source = source_of(Dense(matrix, working), names, None)
    return source if type(source) is OneBlock else None


def like_plain(vector: Array, updates: Any, *, copy: bool) -> Array:
    """A result [d] in the form of such updates; without `copy` it may share the memory of `vector`."""
    if copy:
        vector = vector.copy()
    if type(updates) is np.ndarray:
        return vector
    import torch

    return torch.from_numpy(vector)
