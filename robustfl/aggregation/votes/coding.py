"""The number of bits that it takes to send rankings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from robustfl.errors import ParameterError

Coding = Literal["plain", "entropy", "floor"]
"""How m of n edges are coded.

"plain": every edge number takes ceil(log2 n) bits. "entropy": it takes log2 n bits, which an arithmetic coder almost
reaches. "floor": all m together take log2(n! / (n - m)!) bits, and no code for arbitrary rankings takes fewer.
"""


def ranking_bits(sent: int, edges: int, coding: Coding = "plain") -> float:
    """The number of bits of a ranking that names `sent` of `edges` edges, in order.

    >>> ranking_bits(1000, 1000), round(ranking_bits(1000, 1000, "floor"))
    (10000, 8529)
    """
    if not 1 <= sent <= edges:
        raise ParameterError(f"`sent` should satisfy 1 <= sent <= edges. Found sent={sent}, edges={edges}.")
    if coding == "plain":
        return sent * (edges - 1).bit_length()
    if coding == "entropy":
        return sent * math.log2(edges)
    if coding == "floor":
        return (math.lgamma(edges + 1) - math.lgamma(edges - sent + 1)) / math.log(2)
    raise ParameterError(f"`coding` should be 'plain', 'entropy' or 'floor'. Found coding={coding!r}.")


def ranking_bytes(layers: Iterable[tuple[int, int]], coding: Coding = "plain") -> float:
    """The number of bytes of the rankings of several layers, each given as (sent, edges).

    A plain message is filled up to a whole byte.
    """
    bits = sum(ranking_bits(sent, edges, coding) for sent, edges in layers)
    return -(-bits // 8) if coding == "plain" else bits / 8
