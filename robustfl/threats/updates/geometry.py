"""Lengths and distances of honest updates, for attacks that stay within them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from robustfl.threats.knowledge import Knowledge

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 1 << 16
"""Columns that are held in double precision at a time."""

Whose = Literal["peers", "own"]
"""Whose updates an attack looks at: all honest ones, or what its own clients would have sent."""


def needed(whose: Whose) -> Knowledge:
    """The knowledge that these updates are."""
    return Knowledge.PEERS if whose == "peers" else Knowledge.OWN


def products(rows: Tensor) -> Tensor:
    """All inner products between rows [m, d] -> [m, m], on the CPU, summed in double precision."""
    import torch

    total = rows.new_zeros((len(rows), len(rows)), dtype=torch.float64)
    for start in range(0, rows.shape[1], COLUMNS):
        wide = rows[:, start : start + COLUMNS].double()
        total.addmm_(wide, wide.T)
    return total.cpu()


def squared_distances(gram: Tensor) -> Tensor:
    """[m, m] from the inner products between m points; not below zero."""
    squares = gram.diagonal()
    return (squares[:, None] + squares - 2 * gram).clamp_(min=0.0)
