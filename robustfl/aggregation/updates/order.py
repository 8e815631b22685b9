"""An order of clients that depends on who they are, and not on who answers first."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_id(ids: Sequence[Hashable]) -> NDArray[np.intp]:
    """The places of the ids in ascending order: numbers, then texts, bytes, sequences, and the rest by their `repr`.

    Equal ids of different types, such as 1 and ``numpy.int64(1)``, have the same place. Ids of a class of its own need
    a `repr` that tells them apart and is the same in every run.

    >>> by_id(["b", 10, "a", 9]).tolist()
    [3, 1, 2, 0]
    """
    plain = {type(name) for name in ids} in ({int}, {str})
    keys: Sequence[Any] = ids if plain else [_key(name) for name in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.intp)


def _key(name: Any) -> tuple[int, Any]:
    """Something that compares with the keys of all other ids."""
    if isinstance(name, numbers.Real) and name == name:
        return 0, name
    if isinstance(name, str):
        return 1, str(name)
    if isinstance(name, bytes):
        return 2, bytes(name)
    if isinstance(name, tuple):
        return 3, tuple(_key(part) for part in name)
    return 4, (type(name).__qualname__, repr(name))
