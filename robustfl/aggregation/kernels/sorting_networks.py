"""Comparator networks that put chosen order statistics of n values into place.

A comparator ``(a, b)`` moves the smaller of two values to row a and the larger to row b. A network is a fixed list of
comparators. The same list serves every column, so a machine can treat many columns in one instruction and never
branches on a value. Batcher's merge exchange sorts all values. A rule rarely needs that much, so :func:`prune` drops
every comparator that cannot change what the rule reads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Network = NDArray[np.intp]
"""The comparators in the order of their execution, [c, 2]; the array is read-only."""

UNREAD: Hashable = None
"""The label of an output that nobody reads."""


@lru_cache(maxsize=64)
def merge_exchange(n: int) -> Network:
    """Batcher's network that sorts n values, for any n (Knuth, TAOCP 3, algorithm 5.2.2M).

    It has about ``n log2(n)^2 / 4`` comparators: 97 for 20 values, 1,077 for 100.
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
    """The comparators of a network that matter when outputs of one label may change places.

    ``labels[r]`` says how rank r is read: ranks with the same label are read as a set (the band of a trimmed mean), and
    ranks labelled :data:`UNREAD` are not read at all. The network is walked backwards. A comparator is dropped when
    none of the later comparators that are kept uses its rows, and both rows have the same label: it could only swap two
    values between which the reader does not distinguish.
    """
    still_moving = object()
    state: list[Hashable] = list(labels)
    kept = []
    for a, b in network[::-1].tolist():
        if state[a] is still_moving or state[b] is still_moving or state[a] != state[b]:
            state[a] = state[b] = still_moving
            kept.append((a, b))
    return _frozen(np.array(kept[::-1], dtype=np.intp).reshape(-1, 2))


def tournament(n: int, low: int, high: int, groups: int) -> Network:
    """A network that puts the `low` smallest values in order into the first rows, the `high` largest into the last.

    The rows are first sorted in groups of at least low + high. After that only the ends of the groups matter. Two
    sorted lists of m smallest values are compared in reverse, value i against value m - 1 - i. The winners are the m
    smallest values of both lists; they form a sequence that rises and then falls, which is sorted again. For few values
    of many rows this takes far fewer comparators than a pruned sorting network: 267 in place of 764 to cut 2 values off
    both ends of 100.
    """
    pairs: list[tuple[int, int]] = []
    lows, highs = [], []
    for rows in np.array_split(np.arange(n), groups):
        pairs += map(tuple, rows[merge_exchange(len(rows))].tolist())
        lows.append(rows[:low].tolist())
        highs.append(rows[len(rows) - high :].tolist())
    while len(lows) > 1:
        lows = [_meet(lows[i : i + 2], pairs, smallest=True) for i in range(0, len(lows), 2)]
        highs = [_meet(highs[i : i + 2], pairs, smallest=False) for i in range(0, len(highs), 2)]
    ends = {*lows[0], *highs[0]}
    order = [*lows[0], *(row for row in range(n) if row not in ends), *highs[0]]
    place = np.empty(n, dtype=np.intp)
    place[order] = np.arange(n)
    return place[np.array(pairs, dtype=np.intp).reshape(-1, 2)]


def _meet(lists: list[list[int]], pairs: list[tuple[int, int]], smallest: bool) -> list[int]:
    """Append to `pairs` the comparators that make one sorted list from the best of two, and return its rows."""
    if len(lists) == 1:
        return lists[0]
    pairs += zip(lists[0], reversed(lists[1]), strict=True)
    winners = lists[0] if smallest else lists[1]
    # a bitonic merge of 2^k rows; surplus rows count as -inf before the winners, or +inf behind them, and never move
    size = 1 << max(len(winners) - 1, 0).bit_length()
    before = size - len(winners) if smallest else 0
    distance = size // 2
    while distance:
        for i in range(before, before + len(winners) - distance):
            if not i & distance:
                pairs.append((winners[i - before], winners[i - before + distance]))
        distance //= 2
    return winners


@lru_cache(maxsize=256)
def rank_network(n: int, first: int, last: int) -> Network:
    """A network that puts the values of the ranks first, ..., last (from 0, inclusive) into the rows of those numbers.

    These rows may hold the values in any order, and all other rows may hold any value. Of several networks that do
    this, the one with the fewest comparators is returned.
    """
    if not 0 <= first <= last < n:
        raise ValueError(f"Ranks should satisfy 0 <= first <= last < n. Found first={first}, last={last}, n={n}.")
    labels = ["read" if first <= rank <= last else UNREAD for rank in range(n)]
    # cut off both ends, or sort one end as far as the last rank that is read; as many groups as possible proved best
    candidates = [prune(merge_exchange(n), labels)]
    for low, high in {(first, n - 1 - last), (last + 1, 0), (0, n - first)}:
        groups = n // max(low + high, 1)
        if groups > 1:
            candidates.append(prune(tournament(n, low, high, groups), labels))
    return min(candidates, key=len)


def _frozen(network: Network) -> Network:
    """The network as a read-only array, because all callers share the cached arrays."""
    network.setflags(write=False)
    return network
