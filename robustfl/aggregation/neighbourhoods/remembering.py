"""What rules may remember: values of their own, and no part of the letters, which others may overwrite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.errors import StateError

PLAIN = frozenset({int, float, bool, str, bytes, type(None)})
"""What refers to nothing else."""


def require_size(rule: Any, vector: Array | None, d: int) -> None:
    """Raise StateError if what a rule remembers of a neighbour is of models of another size than d."""
    if vector is not None and len(vector) != d:
        raise StateError(
            f"{rule} remembers {len(vector)} values of a neighbour, whose model now has {d}. Begin without a state, or "
            "call reset()."
        )


def keeps(state: Any, *matrices: Array) -> bool:
    """Whether an array, at any depth of a state, shares memory with one of the matrices.

    Cost: one look at each object, however often it occurs; receivers share most of what they remember.
    """
    seen: dict[int, Any] = {}
    left = [state]
    while left:
        one = left.pop()
        kind = type(one)
        if kind in PLAIN or id(one) in seen:
            continue
        seen[id(one)] = one  # as long as it is kept, nothing else has its id
        if kind is dict or isinstance(one, Mapping):
            left.extend(one.values())
        elif kind in (tuple, list) or (isinstance(one, Sequence | Set) and not isinstance(one, str | bytes)):
            left.extend(one)
        elif isinstance(one, np.ndarray) or (is_tensor(one) and one.device.type == "cpu"):
            array = one if isinstance(one, np.ndarray) else one.detach().numpy()
            if any(np.may_share_memory(array, matrix) for matrix in matrices):
                return True
    return False
