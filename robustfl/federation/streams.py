"""Random streams: there is one for each purpose, all come from one seed, and none of them is global.

Seed r gives every defense and every attack the same partition, initial weights, client samples, batches and malicious
identities (common random numbers), so differences between two defenses or two attacks are paired differences.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator for one purpose, such as "partition"; it is independent of all others."""
    return np.random.default_rng(stream_seed(seed, purpose))


def stream_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose, for generators of other libraries."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
