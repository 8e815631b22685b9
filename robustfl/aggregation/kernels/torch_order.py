"""Order statistics of columns in plain torch, for accelerators without the kernels of `triton_order`.

torch selects by sorting, and a sort needs several times the memory of its input: for the sorted values, for their
positions as 64-bit integers, and as much again as work space, up to 40 bytes per number. So a block is sorted in
pieces.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.kernels.chunks import over_pieces

PIECE = 1 << 20
"""Number of values that are sorted at a time: they take about 40 MB of extra memory, and occupy all cores of a GPU."""


def median(block: Array, exact: bool = False) -> Array:
    """The middle value of each column of [n, b], the average of the middle two for even n: [b]; float64 if `exact`."""
    n = len(block)

    def middle(piece: Array, columns: slice) -> Array:
        ordered = piece.sort(dim=0).values
        lower, upper = ordered[(n - 1) // 2], ordered[n // 2]
        if exact:
            lower, upper = lower.double(), upper.double()
        return upper if n % 2 else (lower + upper) / 2

    return _by_columns(block, middle, exact)


def trimmed_mean(block: Array, f: int, exact: bool = False) -> Array:
    """The mean of each column of [n, b] without its `f` smallest and `f` largest values: [b]; float64 if `exact`."""

    def trimmed(piece: Array, columns: slice) -> Array:
        kept = piece if f == 0 else piece.sort(dim=0).values[f:-f]
        return kept.mean(dim=0, dtype=torch.float64)

    return _by_columns(block, trimmed, exact)


def mean_around(block: Array, centre: Array, count: int) -> Array:
    """The mean of the `count` values of each column of [n, b] nearest to `centre` [b]; ties: the lower row: [b].

    Distances are float64, as on the host.
    """

    def near(piece: Array, columns: slice) -> Array:
        distances = (piece.double() - centre[columns].double()).abs()
        nearest = distances.argsort(dim=0, stable=True)[:count]
        return piece.gather(0, nearest).mean(dim=0, dtype=torch.float64)

    return _by_columns(block, near)


def sign_sum(block: Array) -> Array:
    """How many more positive than negative values each column of [n, b] has, as a float: [b]."""
    return _by_columns(block, lambda piece, columns: piece.sign().sum(dim=0))


def _by_columns(block: Array, work: Callable[[Array, slice], Array], exact: bool = False) -> Array:
    out = torch.empty(block.shape[1], dtype=torch.float64 if exact else block.dtype, device=block.device)

    def write(piece: Array, columns: slice) -> None:
        out[columns] = work(piece, columns)

    over_pieces(block, PIECE, write)
    return out
