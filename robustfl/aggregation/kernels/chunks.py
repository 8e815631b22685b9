"""Work on a block on an accelerator in pieces, for operations in torch that need extra memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from robustfl.aggregation.kernels.base import Array, column_blocks

T = TypeVar("T")

_turn = threading.Lock()
"""Several threads work on blocks. They take turns, so that each can reuse the memory that the one before it needed."""


def over_pieces(block: Array, numbers: int, work: Callable[[Array, slice], T]) -> list[T]:
    """The results of `work` on consecutive pieces of [n, b] of about `numbers` numbers each, and on their columns."""
    width = max(1, numbers // max(1, len(block)))
    with _turn:
        return [work(block[:, columns], columns) for columns in column_blocks(block.shape[1], width)]
