"""Whose the rows are: clients are known by the value of their ids, whatever these are stored in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor
from robustfl.errors import UpdatesError

MISSING = "missing"
"""The reason for the rejection of a row that never arrived."""

COPY = "a copy of row "
"""How the reason begins for the rejection of a row that arrived before, under the same id and with the same values."""


def identify(
    ids: Iterable[Hashable] | None, count: int, alike: Callable[[int, int], bool] | None = None
) -> tuple[tuple[Hashable, ...], dict[int, str]]:
    """The client ids, and the rows that share an id with another row: none of these counts if they differ.

    It cannot be seen which of the rows comes from the client itself. If one of them were kept, such as the first, an
    attacker could choose it: a faster answer under the id of an honest client would replace that client's row, and the
    declared f would no longer bound the malicious rows. An attacker that repeats its own row removes itself. If ids can
    be forged, attackers can remove honest clients but can never speak for them.

    If all rows of an id are `alike`, there is nothing to choose: the message was delivered more than once, or replayed,
    and counts once. Without `alike`, as for streams whose rows cannot be compared, rows that share an id never count.

    Ids are compared by value: 3, ``numpy.int64(3)`` and ``torch.tensor(3)`` are one client, an id that is an array or a
    list is the tuple of what it holds. An id that is no number (NaN), as tables have it where one is missing, names
    nobody; its row does not count either.
    """
    if ids is None:
        return tuple(range(count)), {}
    if not isinstance(ids, Iterable):
        raise UpdatesError(f"`ids` should name every update once. Found {ids!r}.")
    names = _by_value(ids)
    try:
        distinct = len(set(names))
    except TypeError:
        if all(isinstance(name, Hashable) for name in names):
            raise
        message = "`ids` should be hashable, such as numbers or texts: clients are remembered by them."
        raise UpdatesError(message) from None
    if len(names) != count:
        raise UpdatesError(f"`ids` should name every update once. Found {len(names)} ids for {count} updates.")
    nobody = {row: f"id {name!r} names no client" for row, name in enumerate(names) if _nan(name)}
    if distinct == count:
        return names, nobody
    times = Counter(names)
    shared: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        if times[name] > 1:
            shared.setdefault(name, []).append(row)
    reasons: dict[int, str] = {}
    for name, (first, *others) in shared.items():
        if alike is not None and all(alike(first, row) for row in others):
            reasons |= dict.fromkeys(others, f"{COPY}{first}")
        else:
            reasons |= dict.fromkeys((first, *others), f"duplicate id {name!r}")
    return names, reasons | nobody


def _by_value(ids: Any) -> tuple[Any, ...]:
    """The ids as plain numbers, texts and tuples of them; others, such as dates, stay what they are."""
    if is_tensor(ids) or isinstance(ids, np.ndarray):
        return tuple(_plain(name) for name in _listed(ids)) if ids.ndim else tuple(ids)
    names = tuple(ids)
    return names if {type(name) for name in names} <= {int, str} else tuple(_plain(name) for name in names)


def _plain(name: Any) -> Any:
    if is_tensor(name) or isinstance(name, np.ndarray):
        return _plain(_listed(name))
    if isinstance(name, np.datetime64 | np.timedelta64):
        return name  # its number alone would lose the unit
    if isinstance(name, np.generic):
        item = name.item()
        if isinstance(item, np.generic):  # of a type that Python does not have, such as long doubles
            return math.nan if item != item else item
        return _plain(item)
    if isinstance(name, float) and name != name:
        return math.nan  # one object: NaN equals nothing, but a set knows an object that it holds already
    if isinstance(name, bytearray | memoryview):
        return bytes(name)
    if type(name) in (list, tuple):
        return tuple(_plain(part) for part in name)
    return frozenset(_plain(part) for part in name) if isinstance(name, set | frozenset) else name


def _listed(ids: Any) -> Any:
    """The values of an array or a tensor, in lists."""
    if isinstance(ids, np.ndarray):
        return list(ids) if ids.dtype.kind in "mM" and ids.ndim else ids[()] if ids.dtype.kind in "mM" else ids.tolist()
    try:
        return ids.tolist()
    except (RuntimeError, NotImplementedError) as error:  # a tensor without values, such as one on the device meta
        raise UpdatesError(f"`ids` cannot be read: {type(error).__name__}: {error}") from None


def _nan(name: Any) -> bool:
    """Whether the id, or a part of it, is no number."""
    return any(map(_nan, name)) if isinstance(name, tuple | frozenset) else isinstance(name, float) and name != name


def exceeded(ids: Sequence[Hashable], rejected: Mapping[int, str], f: int | None) -> int:
    """By how many the clients that were caught exceed the declared `f`, or 0 (also for a rule without `f`).

    A client is caught when at least one row under its id was rejected. A row that never arrived proves nothing and does
    not count, nor does one that arrived twice.
    """
    if not rejected:
        return 0
    caught = {ids[row] for row, reason in rejected.items() if reason != MISSING and not reason.startswith(COPY)}
    return max(0, len(caught) - (f or 0))
