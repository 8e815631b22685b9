"""An order of clients that depends on their ids, and not on who answers first."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_id(ids: Sequence[Hashable]) -> NDArray[np.intp]:
    """The places of the ids in ascending order: first numbers, then texts, bytes, sequences, and others by `repr`.

    Equal ids of different types, such as 1 and ``numpy.int64(1)``, have the same place. Ids of any other class need a
    `repr` that distinguishes them and is the same in every run.

    >>> by_id(["b", 10, "a", 9]).tolist()
    [3, 1, 2, 0]
    """
    plain = {type(name) for name in ids} in ({int}, {str})
    keys: Sequence[Any] = ids if plain else [_key(name) for name in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.intp)


def _key(name: Any) -> tuple[int, Any]:
    """A sorting key that can be compared with the keys of all other ids."""
    if isinstance(name, numbers.Real) and name == name:
        return 0, name
    if isinstance(name, str):
        return 1, str(name)
    if isinstance(name, bytes):
        return 2, bytes(name)
    if isinstance(name, tuple):
        return 3, tuple(_key(part) for part in name)
    return 4, (type(name).__qualname__, repr(name))
