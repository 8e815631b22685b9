"""Random streams: there is one for each purpose, all come from one seed, and none of them is global.

Seed r gives every defense and every attack the same partition, initial weights, client samples, batches and malicious
identities (common random numbers), so differences between two defenses or two attacks are paired differences.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator for one purpose, such as "partition"; it is independent of all others."""
    return np.random.default_rng(stream_seed(seed, purpose))


def stream_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose, for generators of other libraries."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Keyed:
    """Random numbers of clients that depend on a key, the client and the place alone, not on who else draws any.

    A generator that is run through for everybody, so that nobody's numbers depend on who takes part, costs as much as
    there are clients. These numbers cost as much as there are clients that ask.

    Formula: with the finaliser M of SplitMix64 and the odd number g = 0x9E3779B97F4A7C15, client i has the number
    ``a_i = M(key + (i + 1) g)``, and its word at place j is ``M(a_i + (j + 1) g)``, all modulo 2^64. Each client
    therefore has a stream of SplitMix64 of its own, which begins where another stream has led.

    Parameters
    ----------
    key : 0 to 2^64 - 1, for example `stream_seed(seed, purpose)`

    References: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

    >>> numbers = Keyed(stream_seed(0, "an example"))
    >>> alone, together = numbers.uniform(np.array([7]), 3), numbers.uniform(np.arange(10), 5)
    >>> bool((alone[0] == together[7, :3]).all())
    True
    """

    def __init__(self, key: int) -> None:
        self._key = np.uint64(key)

    def words(self, ids: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
        """The first words [k, count] of these clients [k], each uniform on 0 to 2^64 - 1."""
        starts = _mixed(self._key + (np.asarray(ids).astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        return _mixed(starts[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)

    def uniform(self, ids: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The first numbers [k, count] of these clients [k], each uniform on [0, 1), with 53 bits."""
        return np.asarray((self.words(ids, count) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: a one-to-one map in which every bit depends on every other."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
