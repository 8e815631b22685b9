"""What clients remember of their messages: rows for those who have taken part, whatever the number of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]

FIRST_ROWS = 16
"""The number of rows for which there is room at first; the room is doubled whenever it is used up."""


class Remembered:
    """The exponential moving averages of the members' messages.

    Formula: ``m <- beta m + (1 - beta) message``, where m is zero before a member's first message.

    Memory: at most two rows [d] for each member that has taken part so far, and a number for each member.

    Parameters
    ----------
    members : the number of members
    like : [d] a tensor of the type and on the device of messages
    beta : the share of what was before

    >>> remembered = Remembered(1_000_000, torch.zeros(2), beta=0.5)
    >>> remembered(torch.ones(1, 2), np.array([123_456]))
    tensor([[0.5000, 0.5000]])
    >>> remembered(torch.ones(1, 2), np.array([123_456]))
    tensor([[0.7500, 0.7500]])
    """

    def __init__(self, members: int, like: Tensor, beta: float) -> None:
        self._beta = beta
        self._row = np.full(members, -1, dtype=np.int64)  # the row of each member; -1 before it has one
        self._used = 0
        self._asked = b""  # who asked last, and their rows
        self._places: Ids | None = np.empty(0, dtype=np.int64)
        self._rows = like.new_zeros((min(members, FIRST_ROWS), like.numel()))

    def __call__(self, messages: Tensor, ids: Ids) -> Tensor:
        """The averages [k, d] after these messages [k, d] of members [k], each of which occurs once."""
        key = ids.tobytes()
        if key != self._asked:
            self._asked, self._places = key, self._taken(ids)
        if self._places is None:  # all who ever took part, in their order
            known = self._rows[: self._used]
            updated = torch.lerp(known, messages, 1.0 - self._beta)
            known.copy_(updated)
            return updated
        rows = torch.as_tensor(self._places, device=messages.device)
        updated = self._rows.index_select(0, rows).lerp_(messages, 1.0 - self._beta)
        self._rows.index_copy_(0, rows, updated)
        return updated

    def _taken(self, ids: Ids) -> Ids | None:
        """The rows of these members, with room for those who are new; None if they are all rows, in order."""
        new = ids[self._row[ids] < 0]
        self._row[new] = np.arange(self._used, self._used + len(new))
        self._used += len(new)
        if self._used > len(self._rows):
            room = min(len(self._row), max(self._used, 2 * len(self._rows)))
            self._rows = torch.cat([self._rows, self._rows.new_zeros((room - len(self._rows), self._rows.shape[1]))])
        places = self._row[ids]
        return None if len(ids) == self._used and (places == np.arange(self._used)).all() else places

    def of(self, ids: Ids) -> Tensor:
        """The averages [k, d] of these members as they are."""
        found = self._rows.new_zeros((len(ids), self._rows.shape[1]))
        known = np.flatnonzero(self._row[ids] >= 0)
        found[torch.as_tensor(known)] = self._rows[torch.as_tensor(self._row[ids[known]])]
        return found
