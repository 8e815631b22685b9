"""Counting rankings: the sum of the positions that voters give to every entry, and orders that break ties by number.

A ranking lists entries from the least to the most important. The entry at position q gets `first + q`; an entry that a
ranking does not list gets 0 from it. The rankings of a voter count in all layers, or in none if one of them has an
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.choice import kernels_for
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.kernels.threads import in_order, thread_count

Ranking = NDArray[np.signedinteger[Any]]
Counts = NDArray[np.int64]

MOST_ENTRIES = 2**31 - 1
"""Largest number of entries in a layer: positions are first added up in 32 bits, so that the sums stay in the caches.

The sums of groups of voters are then added up in 64 bits.
"""

TOGETHER = 8
"""So many voters are counted at a time: their positions are added up in 24 bits, beside 8 bits that check them."""

MOST_TOGETHER = 2**21
"""Largest number of entries in a layer whose sums of `TOGETHER` positions fit 24 bits."""


def sum_positions(
    voters: Mapping[int, Sequence[Ranking]], entries: Sequence[int]
) -> tuple[list[Counts], dict[int, str]]:
    """The sum of positions of every entry, as one vector per layer, and the reasons why some voters do not count.

    Parameters
    ----------
    voters : voter -> one contiguous ranking per layer, int32 or int64, of m_l distinct numbers from 0 to n_l - 1; the
        places of a ranking are worth n_l - m_l, ..., n_l - 1
    entries : n_l of each layer, at most `MOST_ENTRIES`

    Cost: one pass over the rankings, with the voters spread over threads, and another one over half of them or fewer
    where there are errors. The sums are exact whatever the number of threads. Memory: 8 bytes an entry and thread.
    """
    names = list(voters)
    size = min(-(-len(names) // thread_count()), MOST_ENTRIES // max(entries)) or 1
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    add, undo = _counting(len(names) * sum(entries))
    compiled = add is not add_positions
    bounds = [*accumulate(entries, initial=0)]
    totals = np.zeros(bounds[-1], np.int64)
    faults: dict[int, str] = {}

    def counted(group: list[int]) -> tuple[NDArray[np.int32], dict[int, str]]:
        sums, seen = np.zeros(bounds[-1], np.int32), np.zeros(-(-max(entries) // 64), np.uint64)
        layers = [sums[start:stop] for start, stop in pairwise(bounds)]
        found = {}
        for name in _after_eights([(name, voters[name]) for name in group], bounds, sums) if compiled else group:
            for number, (ranking, layer) in enumerate(zip(voters[name], layers, strict=True)):
                fine = add(ranking, layer.size - ranking.size, layer, seen)
                if fine < ranking.size:
                    undo(ranking, layer.size - ranking.size, fine, layer)
                    for other, whole in zip(voters[name][:number], layers, strict=False):
                        undo(other, whole.size - other.size, other.size, whole)
                    found[name] = _fault(number, ranking, fine, layer.size)
                    break
        return sums, found

    for sums, found in in_order(partial(counted, group) for group in groups):
        totals += sums
        faults |= found
    return [totals[start:stop] for start, stop in pairwise(bounds)], faults


def _after_eights(
    group: Sequence[tuple[int, Sequence[Ranking]]], bounds: Sequence[int], sums: NDArray[np.int32]
) -> list[int]:
    """Count voters of whole rankings eight at a time, and return the others, in their order.

    Those are what is left in the end, and eights with an error, of which nothing has been counted. As soon as more
    eights had an error than none, nobody is counted eight at a time any more: hostile voters may not double the work.
    """
    from robustfl.aggregation.votes.compiled_counting import add_eight, named_once, take_over

    sizes = [stop - start for start, stop in pairwise(bounds)]
    if len(group) < TOGETHER or max(sizes) > MOST_TOGETHER:
        return [name for name, _ in group]
    cells, left, ahead = np.zeros(bounds[-1], np.uint32), [], 0
    layers = [cells[start:stop] for start, stop in pairwise(bounds)]
    for start in range(0, len(group), TOGETHER):
        eight = group[start : start + TOGETHER]
        if len(eight) < TOGETHER or ahead < 0:
            left += [name for name, _ in group[start:]]
            break
        counts = True
        for rankings, layer in zip(zip(*(kept for _, kept in eight), strict=True), layers, strict=True):
            alike = {(ranking.dtype, ranking.size) for ranking in rankings} == {(rankings[0].dtype, layer.size)}
            counts = counts and alike and add_eight(*[*map(_read_only, rankings), layer])
        if counts and all(map(named_once, layers)):
            take_over(cells, sums)
            ahead += 1
        else:
            cells[:] = 0
            left += [name for name, _ in eight]
            ahead -= 1
    return left


def _read_only(ranking: Ranking) -> Ranking:
    """The same numbers; compiled functions know one type of rankings then, and not two for each of eight."""
    view = ranking.view()
    view.flags.writeable = False
    return view


def stable_order(keys: NDArray[Any]) -> Counts:
    """The indices of the keys in ascending order of the keys along the last axis; equal keys keep their order.

    The result is that of ``np.argsort(keys, kind="stable")``, except that a NaN may come at either end. It is several
    times faster for float32, and for integers of a moderate range: key and index are packed into one integer, and plain
    integers sort faster than pairs. Shapes: [..., n] -> [..., n].
    """
    keys = np.asarray(keys)
    bits = max(keys.shape[-1] - 1, 1).bit_length()
    images = _images(keys)
    low = images.min(initial=0) if images is not None else 0
    if images is None or int(images.max(initial=0)) - int(low) >= 1 << (63 - bits):
        return np.argsort(keys, axis=-1, kind="stable").astype(np.int64, copy=False)
    packed: Counts = (images - low) << bits
    packed |= np.arange(keys.shape[-1])
    packed.sort(axis=-1)
    packed &= (1 << bits) - 1
    return packed


def _images(keys: NDArray[Any]) -> Counts | None:
    """Integers [..., n] that have the same order as the keys, or None for types that int64 cannot represent so."""
    if keys.dtype == np.float32:
        bits = (keys + np.float32(0)).view(np.int32)  # minus zero becomes zero
        ordered: Counts = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
        return ordered
    return keys.astype(np.int64, copy=False) if keys.dtype.kind == "i" else None


def _counting(size: int) -> tuple[Callable[..., int], Callable[..., None]]:
    """The two operations; the compiled versions, unless there is little to do or numba is missing."""
    if type(kernels_for(None, size)) is Host:
        return add_positions, take_back
    from robustfl.aggregation.votes import compiled_counting

    return compiled_counting.add_positions, compiled_counting.take_back


def add_positions(ranking: Ranking, first: int, sums: NDArray[np.int32], seen: Any) -> int:
    """The same as :func:`robustfl.aggregation.votes.compiled_counting.add_positions`, in numpy; `seen` is not used."""
    wrong = np.ones(ranking.size, np.bool_)
    inside = np.flatnonzero((ranking >= 0) & (ranking < sums.size))
    wrong[inside[np.unique(ranking[inside], return_index=True)[1]]] = False  # the first place of each entry is right
    count = int(wrong.argmax()) if wrong.any() else ranking.size
    sums[ranking[:count]] += np.arange(first, first + count, dtype=np.int32)
    return count


def take_back(ranking: Ranking, first: int, count: int, sums: NDArray[np.int32]) -> None:
    """The same as :func:`robustfl.aggregation.votes.compiled_counting.take_back`, in numpy."""
    sums[ranking[:count]] -= np.arange(first, first + count, dtype=np.int32)


def _fault(layer: int, ranking: Ranking, place: int, entries: int) -> str:
    entry = int(ranking[place])
    what = f"{entry} a second time" if 0 <= entry < entries else str(entry)
    return f"layer {layer} should rank distinct edges 0 to {entries - 1}. Found {what} at place {place}"
