"""What rules may remember: values of their own, and no part of the letters, which others may overwrite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.errors import StateError


def require_size(rule: Any, vector: Array | None, d: int) -> None:
    """Raise StateError if what a rule remembers of a neighbour is of models of another size than d."""
    if vector is not None and len(vector) != d:
        raise StateError(
            f"{rule} remembers {len(vector)} values of a neighbour, whose model now has {d}. Begin without a state, or "
            "call reset()."
        )


def keeps(state: Any, *matrices: Array) -> bool:
    """Whether an array, at any depth of a state, shares memory with one of the matrices."""
    if is_tensor(state) and state.device.type == "cpu":
        return keeps(state.detach().numpy(), *matrices)
    if isinstance(state, np.ndarray):
        return any(np.may_share_memory(state, matrix) for matrix in matrices)
    if isinstance(state, Mapping):
        return any(keeps(value, *matrices) for value in state.values())
    if isinstance(state, Sequence | Set) and not isinstance(state, str | bytes):
        return any(keeps(value, *matrices) for value in state)
    return False
