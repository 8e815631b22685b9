"""What rankings cost to send, to the bit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from robustfl.errors import ParameterError

Coding = Literal["plain", "entropy", "floor"]
"""plain: every edge number in ceil(log2 n) bits; entropy: in log2 n bits, as an arithmetic coder comes close to;
floor: log2(n! / (n - m)!) bits for all m together, below which no code for arbitrary rankings can get."""


def ranking_bits(sent: int, edges: int, coding: Coding = "plain") -> float:
    """Bits of a ranking that names `sent` of `edges` edges, in order.

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
    """Bytes of the rankings of several layers, (sent, edges) each; a plain message is filled up to a whole byte."""
    bits = sum(ranking_bits(sent, edges, coding) for sent, edges in layers)
    return -(-bits // 8) if coding == "plain" else bits / 8
