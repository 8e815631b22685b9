"""Hides from a defense who sent what: rows come in a random order, and under pseudonyms.

Members are numbered by the simulation, and it lists malicious members first. A defense that saw these numbers, or this
order, could tell malicious rows from honest ones without looking at a single value. Ties, too, would always be settled
for one side. Rows therefore reach a defense in an order that is drawn anew for every round and receiver, and its names
for the members are pseudonyms, which are drawn once for a trial and stay the same over its rounds.

All of this has random streams of its own: it changes neither samples nor batches, and the same seed always gives the
same orders and pseudonyms.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.streams import stream

Ids = NDArray[np.int64]

ARRIVAL = "order of arrival"
"""The purpose of the order in which rows reach a defense."""

IMAGINED = "order in an adversary's questions"
"""The purpose of the order in which an adversary puts rows when it asks the defense about them.

It is another order than that of the arrival, so that no search can make use of how the real order settles ties.
"""

AGAIN = "order in which a defense is asked again"
"""The purpose of the order in which rows come when the answer should be the same."""

PSEUDONYM_BITS = 52
"""Pseudonyms are numbers of so many bits, which JSON and float64 hold exactly."""


def row_order(seed: int, number: int, receiver: Hashable, rows: int, purpose: str = ARRIVAL) -> Ids:
    """The order of the rows of a receiver in round `number`, [rows]: place i gets the row `order[i]`.

    It depends on the arguments alone, so the same rows have the same order against every defense.
    """
    purpose = f"{purpose}, round {number}, receiver {receiver}"
    return _order(seed, purpose, rows).copy() if rows <= KEPT_ROWS else stream(seed, purpose).permutation(rows)


KEPT_ROWS = 128
"""Orders of so many rows are kept for the next trial with the same seed: to begin a random stream takes longest."""


@lru_cache(maxsize=4096)
def _order(seed: int, purpose: str, rows: int) -> Ids:
    return stream(seed, purpose).permutation(rows)


_NAMELESS = frozenset({str, bool, float, type(None), np.ndarray})
"""What holds no names, and is met most often."""


class Pseudonyms:
    """The names by which a defense calls members: random numbers, of which no two are equal and none tells anything.

    A pseudonym follows from the seed, the purpose and the name alone. Two names have the same pseudonym with a
    probability of about 1e-16.

    Parameters
    ----------
    seed : the seed of the simulation
    purpose : pseudonyms for different purposes have nothing to do with each other

    >>> hidden = Pseudonyms(seed=0)
    >>> one, two = hidden.of([1, 2])
    >>> hidden.of([2]) == [two]
    True
    >>> hidden.restored({"quotas": {one: 0.5}, "ids": (one, two)})
    {'quotas': {1: 0.5}, 'ids': (1, 2)}
    """

    def __init__(self, seed: int, purpose: str = "pseudonyms") -> None:
        self._key = stream(seed, purpose).bytes(16)
        self._given: dict[int, Hashable] = {}
        self._names: dict[Hashable, int] = {}

    def of(self, names: Sequence[int]) -> list[Hashable]:
        """The pseudonyms of members who have these names."""
        return [self._names.get(name) or self._draw(name) for name in names]

    def restored(self, value: Any) -> Any:
        """What a defense says, with the members' names in place of pseudonyms.

        Mappings, lists, tuples, sets and dataclasses are searched; everything else stays as it is.
        """
        kind = type(value)
        if kind in _NAMELESS:
            return value
        if kind is tuple and set(map(type, value)) == {int}:  # ids, in every answer
            return tuple(map(self._given.get, value, value))
        if isinstance(value, int) and not isinstance(value, bool):
            return self._given.get(value, value)
        if isinstance(value, dict):
            return {self.restored(key): self.restored(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self.restored, value))
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(map(self.restored, value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes = {
                field.name: self.restored(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.init
            }
            return dataclasses.replace(value, **changes)
        return value

    def _draw(self, name: int) -> int:
        digest = hashlib.blake2b(str(name).encode(), key=self._key, digest_size=8).digest()
        pseudonym = int.from_bytes(digest, "big") >> (64 - PSEUDONYM_BITS)
        self._names[name], self._given[pseudonym] = pseudonym, name
        return pseudonym
