"""Working through a block on an accelerator a piece at a time, where an operation in torch needs room of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from robustfl.aggregation.kernels.base import Array, column_blocks

T = TypeVar("T")

_turn = threading.Lock()
"""Blocks are worked on in several threads; while they take turns, one has the room that the one before it needed."""


def over_pieces(block: Array, numbers: int, work: Callable[[Array, slice], T]) -> list[T]:
    """What `work` makes of consecutive columns of [n, b], about `numbers` numbers at a time, and of their place."""
    width = max(1, numbers // max(1, len(block)))
    with _turn:
        return [work(block[:, columns], columns) for columns in column_blocks(block.shape[1], width)]
