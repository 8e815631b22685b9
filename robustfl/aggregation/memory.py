"""The state of defenses in the form of the caller: arrays of numpy, or tensors, which checkpoints of models hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor


def in_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """The state with tensors in place of arrays, and plain numbers in place of those of numpy."""
    import torch

    def changed(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8:
            return torch.from_numpy(np.array(value))
        return value.item() if isinstance(value, np.generic) else value

    return {name: _through(value, changed) for name, value in state.items()}


def in_arrays(state: dict[str, Any]) -> dict[str, Any]:
    """The state with arrays in place of tensors on the host, which is what rules on the host compute with."""

    def changed(value: Any) -> Any:
        return value.detach().numpy() if is_tensor(value) and value.device.type == "cpu" else value

    return {name: _through(value, changed) for name, value in state.items()}


def holds_tensors(state: Any) -> bool:
    """Whether a tensor is somewhere in the state."""
    if isinstance(state, dict):
        return any(map(holds_tensors, state.values()))
    return any(map(holds_tensors, state)) if isinstance(state, list | tuple) else is_tensor(state)


def _through(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with a change of everything in its dictionaries, lists and tuples."""
    if type(value) is dict:
        return {key: _through(part, change) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_through(part, change) for part in value)
    return change(value)
