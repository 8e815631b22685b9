"""Who takes part in a round of a network without a server, as every peer can work it out for itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.round import Ids

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The order in which peers are asked to take part in each round.

    Formula: in round k, peers stand in ascending order of the first 8 bytes of ``blake2b(name, key=k)``. Whoever knows
    the names and the round knows the order. Names are drawn for a trial: who could choose its own would choose one that
    comes first.

    >>> samples = Samples(names=np.arange(10), size=2, aggregators=1)
    >>> samples.order(0).tolist() == samples.order(0).tolist() != samples.order(1).tolist()
    True

    Attributes
    ----------
    names : [n] the names of the peers
    size, aggregators : how many peers train in a round, and how many combine what they send
    """

    names: Ids
    size: int
    aggregators: int
    _orders: dict[int, Ids] = field(default_factory=dict, init=False)

    def order(self, number: int) -> Ids:
        """All peers in the order in which they are asked in round `number`, [n]."""
        if number not in self._orders:
            key = number.to_bytes(8, "little")
            hashes = [
                int.from_bytes(hashlib.blake2b(name.to_bytes(8, "little"), key=key, digest_size=8).digest(), "big")
                for name in self.names.tolist()
            ]
            self._orders[number] = np.array(sorted(range(len(hashes)), key=hashes.__getitem__), dtype=np.int64)
        return self._orders[number]

    def most(self, marked: Mask, rounds: int) -> int:
        """The largest number of marked peers in the samples of these rounds, if everybody answers."""
        return max(int(marked[self.order(number)[: self.size]].sum()) for number in range(rounds))


def answering(order: Ids, up: Mask, count: int) -> tuple[Ids, int]:
    """The first `count` peers in this order who answer a ping, and how many before the last of them did not.

    >>> answering(np.array([3, 0, 2, 1]), np.array([True, False, True, False]), 2)
    (array([0, 2]), 1)
    >>> answering(np.array([1, 0]), np.array([False, False]), 1)
    (array([], dtype=int64), 2)
    """
    there = np.flatnonzero(up[order])[:count]
    asked = int(there[-1]) + 1 if len(there) == count else len(order)
    return order[there], asked - len(there)
