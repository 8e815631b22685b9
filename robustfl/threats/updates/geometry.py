"""Lengths and distances of honest updates, for attacks that stay within them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustfl.threats.knowledge import Knowledge
from robustfl.threats.updates.view import Whose

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 1 << 16
"""Number of columns that are held in double precision at a time."""


def needed(whose: Whose) -> Knowledge:
    """The knowledge that an attack needs to look at these updates."""
    return Knowledge.PEERS if whose == "peers" else Knowledge.OWN


def products(rows: Tensor) -> Tensor:
    """All inner products between rows, [m, d] -> [m, m], on the CPU and summed in double precision."""
    import torch

    total = rows.new_zeros((len(rows), len(rows)), dtype=torch.float64)
    for start in range(0, rows.shape[1], COLUMNS):
        wide = rows[:, start : start + COLUMNS].double()
        total.addmm_(wide, wide.T)
    return total.cpu()


def squared_distances(gram: Tensor) -> Tensor:
    """The squared distances [m, m] between m points, from their inner products [m, m]; none is below zero."""
    squares = gram.diagonal()
    return (squares[:, None] + squares - 2 * gram).clamp_(min=0.0)
