"""Rankings to vote on, and what counting them is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.grid import Cell

Ranks = NDArray[np.int32]

READING, PLAIN = "reading of the rankings", "torch argsort of argsort"


def rankings(cell: Cell) -> Ranks:
    """Random rankings [n, d] of d edges."""
    x, rng = np.empty((cell.n, cell.d), dtype=np.int32), np.random.default_rng(cell.n)
    for row in x:
        row[:] = rng.permutation(cell.d)
    return x


def read(x: Ranks) -> Any:
    """Every number once, in the order of the memory."""
    return x.max(axis=0)


def torch_vote(x: Ranks) -> Any:
    """Positions are the inverse of a ranking, and this its sorting; so is the answer of their sum."""
    import torch

    return torch.from_numpy(x).argsort(dim=1).sum(dim=0).argsort(stable=True)


BOUNDS: dict[str, Callable[[Ranks], Any]] = {READING: read}
PEERS: dict[str, Callable[[Ranks], Any]] = {PLAIN: torch_vote}
