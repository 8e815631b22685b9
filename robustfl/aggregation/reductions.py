"""What processes that work on one question find out together, without one waiting for another that has failed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

ERRORS: tuple[type[Exception], ...] = (UpdatesError, InfeasibleError, StateError, ParameterError, RobustflError)
"""Processes tell each other the place of their error in this list; the last place stands for all other errors."""


class Reductions:
    """Reductions over all processes of a group, which first agree whether all of them can go on.

    Every process should ask for the same ones in the same order. One that cannot go on says so by :meth:`failed`, and
    the next reduction of each of the others then raises an error of the same kind.

    Parameters
    ----------
    group : the process group; None for the default group
    device : where the tensors are that the group can send
    """

    def __init__(self, group: Any, device: torch.device) -> None:
        self.group, self._device = group, device
        self.stopped = False
        """Whether a process has failed, and all know it."""

    def sum(self, value: Floats) -> Floats:
        """The sum of the values of all processes, in whatever order is fastest."""
        return self._reduced(np.asarray(value), dist.ReduceOp.SUM)

    def largest(self, value: Floats) -> Floats:
        """The largest values of all processes; NaN counts as infinite."""
        # collectives do not define the order of NaN; infinity, which replaces it, is just as hostile
        return self._reduced(np.where(np.isnan(value), np.inf, value), dist.ReduceOp.MAX)

    def agreed(self, flag: bool) -> bool:
        """Whether the flag is set on every process."""
        return bool(self._reduced(np.array(float(flag)), dist.ReduceOp.MIN))

    def in_order(self, parts: Sequence[Floats], like: Floats) -> Floats:
        """The parts [e] of the first process, one after the other, then those of the second, added up to `like` [e].

        The bits are those of one process that has all parts. The sum goes from process to process.
        """
        self._go_on()
        rank, last = dist.get_rank(self.group), dist.get_world_size(self.group) - 1
        total = torch.as_tensor(like, dtype=torch.float64, device=self._device).clone()
        if rank > 0:
            dist.recv(total, self._process(rank - 1), group=self.group)
        for part in parts:
            total += torch.as_tensor(part, device=self._device)
        if rank < last:
            dist.send(total, self._process(rank + 1), group=self.group)
        dist.broadcast(total, self._process(last), group=self.group)
        added: Floats = total.cpu().numpy()
        return added

    def require_alike(self, *told: bytes, refusal: str) -> None:
        """Raise a ParameterError on all processes if what they were `told` differs between them."""
        mark = 0
        for one in told:
            mark = zlib.crc32(one, mark)
        both = self._reduced(np.array([mark, -mark], dtype=np.float64), dist.ReduceOp.MAX)
        if both[0] != -both[1]:
            raise ParameterError(refusal)

    def failed(self, error: Exception) -> None:
        """Tell the others that this process cannot go on; if another process has failed before, all know it already."""
        if not self.stopped:
            kinds = [number for number, kind in enumerate(ERRORS, 1) if isinstance(error, kind)]
            self._collected(np.array(float(min(kinds, default=len(ERRORS)))), dist.ReduceOp.MAX)

    def _go_on(self) -> None:
        """Agree whether all can go on; processes that have failed meet the others here."""
        error = int(self._collected(np.array(0.0), dist.ReduceOp.MAX))
        if error:
            self.stopped = True
            raise ERRORS[error - 1]("Another process of the group cannot go on. Its own error says why.")

    def _reduced(self, value: Floats, operation: Any) -> Floats:
        self._go_on()
        return self._collected(value, operation)

    def _collected(self, value: Floats, operation: Any) -> Floats:
        tensor = torch.as_tensor(value, dtype=torch.float64, device=self._device).clone()
        dist.all_reduce(tensor, operation, group=self.group)
        result: Floats = tensor.cpu().numpy()
        return result

    def _process(self, rank: int) -> int:
        """The number by which a member of the group is known to the whole world."""
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


__all__ = ["ERRORS", "Reductions"]
