"""Compiled counting of rankings of one layer, one client's or eight at a time, checked while they are counted."""

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


@kernel
def add_eight(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, cells: Any) -> bool:
    """Add ``cells[ranking[q]] += 256 q + 2^v`` for every place q of eight rankings v of all entries, in 32 bits.

    The additions of eight rankings do not wait for each other, as those of one do when its counters are not at hand.
    Returns whether no entry is below 0 or not below ``len(cells)``; the cells are of no use otherwise.
    """
    entries, worth = np.uint64(cells.size), np.uint32(0)
    for place in range(a.size):
        first, second, third, fourth = (
            np.uint64(a[place]),
            np.uint64(b[place]),
            np.uint64(c[place]),
            np.uint64(d[place]),
        )
        fifth, sixth, seventh, last = np.uint64(e[place]), np.uint64(f[place]), np.uint64(g[place]), np.uint64(h[place])
        outside = (first >= entries) | (second >= entries) | (third >= entries) | (fourth >= entries)
        if outside | (fifth >= entries) | (sixth >= entries) | (seventh >= entries) | (last >= entries):
            return False
        cells[first] += worth | np.uint32(1)
        cells[second] += worth | np.uint32(2)
        cells[third] += worth | np.uint32(4)
        cells[fourth] += worth | np.uint32(8)
        cells[fifth] += worth | np.uint32(16)
        cells[sixth] += worth | np.uint32(32)
        cells[seventh] += worth | np.uint32(64)
        cells[last] += worth | np.uint32(128)
        worth += np.uint32(256)
    return True


@kernel
def named_once(cells: Any) -> bool:
    """Whether each of the eight rankings that :func:`add_eight` added names every entry once.

    The low 8 bits of a cell are ``sum_v 2^v k_v``, modulo 256, where ranking v names the entry k_v times. If they are
    255 everywhere, k_0 is odd everywhere, and so at least 1; as a ranking has as many places as there are entries, k_0
    is 1. What is left is ``sum_v 2^(v-1) k_v = 127`` for the others, modulo 128, and so k_1 is 1, and so on.
    """
    common = np.uint32(255)
    for entry in range(cells.size):
        common &= cells[entry]
    return bool(common == np.uint32(255))


@kernel
def take_over(cells: Any, sums: Any) -> None:
    """Add the sums of eight rankings to those of others; the cells are 0 afterwards."""
    for entry in range(cells.size):
        sums[entry] += np.int32(cells[entry] >> np.uint32(8))
        cells[entry] = 0
