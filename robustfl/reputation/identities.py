"""Clients by id: which of them a rule remembers, and whether the rows that it sees are still the clients' own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import StateError

if TYPE_CHECKING:
    from robustfl.aggregation import Rows


def recent(known: Iterable[Hashable], present: Iterable[Hashable], most: int) -> tuple[Hashable, ...]:
    """The `most` clients that took part most recently, in that order; clients that are present are never left out.

    New identities cost an adversary nothing. Without a bound, new ones in every round would fill the memory.
    """
    here = tuple(present)
    absent = [client for client in known if client not in set(here)]
    return (*absent[max(len(absent) + len(here) - most, 0) :], *here)


def own_shares(rows: Rows, rule: object) -> Floats:
    """How much of its client's update each row is, [n]: 1, or less after clipping.

    Raises
    ------
    StateError : an earlier stage (NNM, Bucketing, ...) has mixed rows, so a row is no longer the work of one client
    """
    if rows.mixing is None:
        return np.ones(rows.n)
    shares = np.diag(rows.mixing).copy()
    if rows.mixing.shape != (rows.source.n,) * 2 or np.count_nonzero(rows.mixing - np.diag(shares)):
        raise StateError(
            f"{rule!r} judges clients by their own updates, and was given mixtures of them. Put what mixes (NNM, "
            "Bucketing) elsewhere; clipping may stand before it."
        )
    return shares
