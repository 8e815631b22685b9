"""Comparator networks that put chosen order statistics of n values into place.

A comparator ``(a, b)`` with a < b moves the smaller of two rows to row a and the larger to row b. A network is a fixed
list of them: the same list serves every column, so a machine can treat many columns in one instruction and never
branches on a value. Batcher's merge exchange sorts; a rule rarely needs that much, so :func:`prune` drops every
comparator that cannot change what the rule reads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Network = NDArray[np.intp]
"""Comparators in the order of execution, [c, 2], read-only."""

UNREAD: Hashable = None
"""The label of an output that nobody reads."""


@lru_cache(maxsize=64)
def merge_exchange(n: int) -> Network:
    """Batcher's network that sorts n values, for any n (Knuth, TAOCP 3, algorithm 5.2.2M).

    About ``n log2(n)^2 / 4`` comparators: 97 for 20 values, 1,077 for 100.
    """
    layers = [np.empty((0, 2), dtype=np.intp)]
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top
    while p > 0:
        q, r, distance = top, 0, p
        while True:
            first = np.arange(n - distance, dtype=np.intp)
            first = first[(first & p) == r]
            layers.append(np.stack([first, first + distance], axis=1))
            if q == p:
                break
            distance, q, r = q - p, q >> 1, p
        p >>= 1
    return _frozen(np.concatenate(layers))


def prune(network: Network, labels: Sequence[Hashable]) -> Network:
    """The comparators of a sorting network that matter when outputs of one label may change places.

    ``labels[r]`` says what rank r is read for: ranks with the same label are read as a set (the band of a trimmed
    mean), ranks labelled :data:`UNREAD` are not read at all. Walking backwards, a comparator is dropped when both its
    rows are final and carry the same label: it could only swap two values that nobody tells apart.
    """
    still_moving = object()
    state: list[Hashable] = list(labels)
    kept = []
    for a, b in network[::-1].tolist():
        if state[a] is still_moving or state[b] is still_moving or state[a] != state[b]:
            state[a] = state[b] = still_moving
            kept.append((a, b))
    return _frozen(np.array(kept[::-1], dtype=np.intp).reshape(-1, 2))


@lru_cache(maxsize=256)
def rank_network(n: int, first: int, last: int) -> Network:
    """Leaves the values of the ranks first, ..., last (counted from 0, inclusive) in the rows of those numbers.

    The rows between may hold these values in any order, and all other rows hold anything.
    """
    if not 0 <= first <= last < n:
        raise ValueError(f"Ranks should satisfy 0 <= first <= last < n. Found first={first}, last={last}, n={n}.")
    labels = ["read" if first <= rank <= last else UNREAD for rank in range(n)]
    return prune(merge_exchange(n), labels)


def _frozen(network: Network) -> Network:
    """Cached arrays are shared by every caller, so none may write to them."""
    network.setflags(write=False)
    return network
