"""Robust aggregation over torch.distributed: every process sends one update and every process gets the aggregate.

One all-to-all spreads the columns over the processes, so that each process holds all rows of its share of the columns.
Column-wise rules are then local, and geometric rules add up their ``[n, n]`` Gram matrix in one all-reduce. The traffic
is that of an ordinary all-reduce (a reduce-scatter and an all-gather), and the memory is that of one update, not of n.

Threat model
------------
Row i is what process i sends. The rule protects against up to f processes that send *wrong numbers*, of any size and
including NaN, chosen with full knowledge of the others. It does not protect against a process that violates the
protocol, because every process computes part of the result. A process that sends different values in the two exchanges,
reports false sums or a false part of the result, or stops answering, corrupts or blocks all processes. A wrong number
of values, a wrong type and an error inside the rule of one process are errors on all processes. Use it when workers may
compute nonsense (bad data, bad hardware, a poisoned model) but the transport can be trusted; otherwise aggregate on a
server.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from robustfl.aggregation.contracts import Aggregator
from robustfl.aggregation.defense import Aggregation
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.readers import Columns, Dense, Reader
from robustfl.aggregation.updates.source import Source
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

ERRORS: tuple[type[Exception], ...] = (UpdatesError, InfeasibleError, StateError, ParameterError, RobustflError)
"""Processes tell each other the place of their error in this list; the last place stands for all other errors."""


class Shard(Dense, Columns):
    """The values of all processes in some of the columns, as updates with which a rule can be called.

    Every process of the group should call an equal rule with its shard. Each process gets its part of the aggregate and
    keeps its part of the rule's state.

    Parameters
    ----------
    block : [n, b] row i comes from process i of the group
    d : the number of columns of all processes together
    offset : the first column of this shard
    group : the process group; None for the default group
    """

    def __init__(self, block: Tensor, *, d: int, offset: int, group: Any = None) -> None:
        wide = block.dtype == torch.float64
        super().__init__(block, "float64" if wide else "float32")
        self.total_columns, self.offset, self.group = d, offset, group
        self.stopped = False

    @property
    def row(self) -> Array:
        return self.matrix[0]

    def open(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        """The source that a call reads: sums over its columns are sums over all processes."""
        self.stopped = False
        return _Spread(reader, ids, rows, shard=self)


class _Spread(Source):
    """Some of the columns; other processes hold the rest."""

    def __init__(self, *arguments: Any, shard: Shard, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shard = shard
        self.d, self.offset = shard.total_columns, shard.offset

    def total(self, value: Array) -> Array:
        return self._reduced(np.asarray(value), dist.ReduceOp.SUM)

    def largest(self, value: Floats) -> Floats:
        # collectives do not define the order of NaN; infinity, which replaces it, is just as hostile
        return self._reduced(np.where(np.isnan(value), np.inf, value), dist.ReduceOp.MAX)

    def agreed(self, flag: bool) -> bool:
        return bool(self._reduced(np.array(float(flag)), dist.ReduceOp.MIN))

    def failed(self, error: Exception) -> None:
        if not self._shard.stopped:  # if another process has failed, all know it already
            kinds = [number for number, kind in enumerate(ERRORS, 1) if isinstance(error, kind)]
            self._summed(np.array(float(min(kinds, default=len(ERRORS)))), dist.ReduceOp.MAX)

    def _reduced(self, value: Floats, operation: Any) -> Floats:
        """Reduce a value over all processes, which first agree whether all can go on; failed processes meet too."""
        error = int(self._summed(np.array(0.0), dist.ReduceOp.MAX))
        if error:
            self._shard.stopped = True
            raise ERRORS[error - 1]("Another process of the group cannot go on. Its own error says why.")
        return self._summed(value, operation)

    def _summed(self, value: Floats, operation: Any) -> Floats:
        device = self._shard.matrix.device
        tensor = torch.as_tensor(value, dtype=torch.float64, device=device).clone()
        dist.all_reduce(tensor, operation, group=self._shard.group)
        result: Floats = tensor.cpu().numpy()
        return result

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        return _Spread(reader, ids, rows, shard=self._shard, trusted=self.trusted, share=self.share)


def exchange(update: Tensor, group: Any = None) -> Shard:
    """Send every process its columns of `update`, and get the values of all processes in this process's columns.

    Process r of n holds the columns from `r ceil(d/n)` on. `update` may have any shape, which must be the same on every
    process.

    Raises
    ------
    UpdatesError : on all processes, if one of them has no floating-point numbers, or if the number or the type of the
        values differs between processes
    """
    return _exchanged(update, group, None)


def _exchanged(update: Tensor, group: Any, trusted: Tensor | None) -> Shard:
    _agree(update, group, trusted)
    flat = update.detach().reshape(-1)
    n, rank, d = dist.get_world_size(group), dist.get_rank(group), flat.numel()
    share = -(-d // n)
    sent = torch.nn.functional.pad(flat, (0, share * n - d))
    block = torch.empty_like(sent)
    dist.all_to_all_single(block, sent, group=group)
    here = max(min(share, d - rank * share), 0)
    return Shard(block.view(n, share)[:, :here], d=d, offset=rank * share, group=group)


def _agree(update: Tensor, group: Any, trusted: Tensor | None) -> None:
    """Raise the same UpdatesError on all processes, before any of them waits, if their updates do not fit together."""
    kind = zlib.crc32(str(update.dtype).encode()) if update.is_floating_point() else -1
    own = [update.numel(), kind, -1 if trusted is None else trusted.numel()]
    told = torch.tensor(own, dtype=torch.int64, device=update.device)
    everybody = [torch.empty_like(told) for _ in range(dist.get_world_size(group))]
    dist.all_gather(everybody, told, group=group)
    counts, kinds, lengths = zip(*(one.tolist() for one in everybody), strict=True)
    if -1 in kinds:
        where = [rank for rank, each in enumerate(kinds) if each == -1]
        found = f"Found {update.dtype}" if kind == -1 else "Found others"
        raise UpdatesError(f"An update should hold floating-point numbers. {found} on processes {where}. Convert them.")
    if 0 in counts:
        where = [rank for rank, each in enumerate(counts) if each == 0]
        raise UpdatesError(f"An update should hold at least one value. Found an empty tensor on processes {where}.")
    if len(set(counts)) > 1 or len(set(kinds)) > 1:
        raise UpdatesError(
            "All processes should have updates of one type with the same number of values. "
            f"Found {list(counts)} values{' and several types' if len(set(kinds)) > 1 else ''}."
        )
    if set(lengths) not in ({-1}, {counts[0]}):
        found = ", ".join("none" if each == -1 else str(each) for each in lengths)
        raise UpdatesError(
            f"`trusted` should have the {counts[0]} values of an update on every process, or be absent on all. "
            f"Found {found}."
        )


@overload
def robust_all_reduce(
    update: Tensor, rule: Aggregator, group: Any = None, *, trusted: Tensor | None = None, full: Literal[False] = False
) -> Tensor: ...
@overload
def robust_all_reduce(
    update: Tensor, rule: Aggregator, group: Any = None, *, trusted: Tensor | None = None, full: Literal[True]
) -> Aggregation: ...
def robust_all_reduce(
    update: Tensor, rule: Aggregator, group: Any = None, *, trusted: Tensor | None = None, full: bool = False
) -> Tensor | Aggregation:
    """The robust counterpart of an averaging all-reduce: the aggregate of all processes' updates, on every process.

    Parameters
    ----------
    update : this process's update; every process has the same shape and floating-point type
    rule : an aggregator or pipeline, equal on every process; each process keeps its share of the state of a stateful
        rule, and all processes should make their calls in the same order
    group : the process group; None for the default group; gloo for CPU tensors, nccl for CUDA tensors
    trusted : an update of the caller's own, for rules that compare the rows with one; equal on every process
    full : return the full answer: its `weights`, `rejected` and `info["reasons"]` are about the processes, by their
        ranks in the group, and the same everywhere; what else a rule reports is about this process's columns

    Returns
    -------
    A new tensor like `update`, equal on all processes to the last bit; with `full` the answer that has it as `value`.

    Raises
    ------
    UpdatesError, InfeasibleError : as in :meth:`Aggregator.aggregate`, on all processes. An error that a single process
        raises inside the rule ends the call on all processes with an error of the same kind

    The documentation of the module says what this protects against and what it does not protect against.
    """
    shard = _exchanged(update, group, trusted)
    own = slice(shard.offset, shard.offset + shard.d)
    answer = rule.aggregate(shard, trusted=None if trusted is None else trusted.detach().reshape(-1)[own])
    share = -(-update.numel() // shard.n)
    padded = torch.nn.functional.pad(answer.value, (0, share - shard.d))
    whole = torch.empty(share * shard.n, dtype=padded.dtype, device=padded.device)
    # newer versions deprecate the first name in favour of the second
    gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
    gather(whole, padded.contiguous(), group=group)
    value = whole[: update.numel()].view(update.shape)
    return replace(answer, value=value) if full else value


__all__ = ["Shard", "exchange", "robust_all_reduce"]
