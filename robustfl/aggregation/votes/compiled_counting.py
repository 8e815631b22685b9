"""Compiled counting of rankings: one client's ranking of one layer at a time, checked while it is counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.compiling import kernel


@kernel
def add_positions(ranking: Any, first: int, sums: Any, seen: Any) -> int:
    """Add ``sums[ranking[q]] += first + q`` for every place q, until an entry repeats or is not below ``len(sums)``.

    `seen` is work space with one bit per entry. All bits of a layer fit into a second-level cache, so the check costs
    less than the additions. Returns how many places were counted: all of them, or those before the first wrong entry.
    """
    seen[:] = 0
    entries = np.uint64(sums.size)
    for place in range(ranking.size):
        entry = np.uint64(ranking[place])  # a negative number becomes a huge one
        if entry >= entries:
            return place
        word, bit = entry >> np.uint64(6), np.uint64(1) << (entry & np.uint64(63))
        before = seen[word]
        if before & bit:
            return place
        seen[word] = before | bit
        sums[entry] += first + place
    return len(ranking)


@kernel
def take_back(ranking: Any, first: int, count: int, sums: Any) -> None:
    """Undo :func:`add_positions` for the first `count` places."""
    for place in range(count):
        sums[ranking[place]] -= first + place
