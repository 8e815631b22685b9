"""Robust aggregation over torch.distributed: every process sends one update and every process gets the aggregate.

The columns are spread over the processes by one all-to-all, so that each holds all rows of its share: column-wise
rules are local from there, and geometric rules add up their ``[n, n]`` Gram in one all-reduce. The traffic is that of
an ordinary all-reduce (a reduce-scatter and an all-gather), the memory that of one update, not of n.

Threat model
------------
Row i is what process i sends. Protected against: up to f processes that send *wrong numbers*, of any size, NaN
included, chosen with full knowledge of the others. Not protected against: a process that leaves the protocol, because
every process computes part of the result. One that sends different values in the two exchanges, reports false sums or
a false part of the result, or stops answering, corrupts or blocks everybody; and so does a wrong number of values or
a wrong type, on which the collective itself fails. Use it where workers may compute nonsense (bad data, bad hardware,
a poisoned model) and the transport can be trusted; where it cannot, aggregate on a server.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from robustfl.aggregation.contracts import Aggregator
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.readers import Columns, Dense, Reader
from robustfl.aggregation.updates.source import Source
from robustfl.errors import UpdatesError


class Shard(Dense, Columns):
    """All processes' values in some of the columns: updates that a rule can be called with.

    Every process of the group should call an equal rule with its shard; each gets its part of the aggregate, and
    keeps its part of a rule's state.

    Parameters
    ----------
    block : [n, b], row i from process i of the group
    d : columns of all processes together
    offset : the first of the columns here
    group : the process group, None for the default one
    """

    def __init__(self, block: Tensor, *, d: int, offset: int, group: Any = None) -> None:
        wide = block.dtype == torch.float64
        super().__init__(block, "float64" if wide else "float32")
        self.total_columns, self.offset, self.group = d, offset, group

    @property
    def row(self) -> Array:
        return self.matrix[0]

    def open(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        """The source that a call reads: sums over its columns are sums over all processes."""
        return _Spread(reader, ids, rows, shard=self)


class _Spread(Source):
    """Columns of which other processes hold the rest."""

    def __init__(self, *arguments: Any, shard: Shard, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shard = shard
        self.d, self.offset = shard.total_columns, shard.offset

    def total(self, value: Array) -> Array:
        return self._reduced(np.asarray(value), dist.ReduceOp.SUM)

    def largest(self, value: Floats) -> Floats:
        # the order of NaN is left open by collectives; as infinity it is just as hostile
        return self._reduced(np.where(np.isnan(value), np.inf, value), dist.ReduceOp.MAX)

    def agreed(self, flag: bool) -> bool:
        return bool(self._reduced(np.array(float(flag)), dist.ReduceOp.MIN))

    def _reduced(self, value: Floats, operation: Any) -> Floats:
        device = self._shard.matrix.device
        tensor = torch.as_tensor(value, dtype=torch.float64, device=device).clone()
        dist.all_reduce(tensor, operation, group=self._shard.group)
        result: Floats = tensor.cpu().numpy()
        return result

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        return _Spread(reader, ids, rows, shard=self._shard, trusted=self.trusted, share=self.share)


def exchange(update: Tensor, group: Any = None) -> Shard:
    """Send every process its columns of `update` and get all processes' values of one's own.

    Process r of n holds the columns from `r ceil(d/n)` on. `update` may have any shape, but the same on every process.
    """
    if not update.is_floating_point():
        raise UpdatesError(f"An update should hold floating-point numbers. Found {update.dtype}. Convert it.")
    flat = update.detach().reshape(-1)
    n, rank, d = dist.get_world_size(group), dist.get_rank(group), flat.numel()
    if d == 0:
        raise UpdatesError("An update should hold at least one value. Found an empty tensor.")
    share = -(-d // n)
    sent = torch.nn.functional.pad(flat, (0, share * n - d))
    block = torch.empty_like(sent)
    dist.all_to_all_single(block, sent, group=group)
    here = max(min(share, d - rank * share), 0)
    return Shard(block.view(n, share)[:, :here], d=d, offset=rank * share, group=group)


def robust_all_reduce(update: Tensor, rule: Aggregator, group: Any = None, *, trusted: Tensor | None = None) -> Tensor:
    """The robust counterpart of an averaging all-reduce: the aggregate of all processes' updates, on every process.

    Parameters
    ----------
    update : this process's update, of any shape; of the same shape and floating-point type on every process
    rule : an aggregator or pipeline, equal on every process; rules with a memory keep their share of it per process,
        and should be called in the same order everywhere
    group : the process group, None for the default one; gloo for CPU tensors, nccl for CUDA tensors
    trusted : for rules that measure against an update of the caller's own; equal on every process

    Returns
    -------
    A new tensor like `update`, equal on all processes to the last bit.

    Raises
    ------
    UpdatesError, InfeasibleError : as :meth:`Aggregator.aggregate`, on all processes alike

    See the module's documentation for what this protects against and what not.
    """
    shard = exchange(update, group)
    own = slice(shard.offset, shard.offset + shard.d)
    part = rule(shard, trusted=None if trusted is None else trusted.detach().reshape(-1)[own])
    share = -(-update.numel() // shard.n)
    padded = torch.nn.functional.pad(part, (0, share - shard.d))
    whole = torch.empty(share * shard.n, dtype=padded.dtype, device=padded.device)
    # the first name is deprecated in newer versions in favour of the second
    gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
    gather(whole, padded.contiguous(), group=group)
    return whole[: update.numel()].view(update.shape)


__all__ = ["Shard", "exchange", "robust_all_reduce"]
