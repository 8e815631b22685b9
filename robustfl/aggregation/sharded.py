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

import functools
import zlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from robustfl.aggregation.contracts import Aggregator
from robustfl.aggregation.defense import Aggregation
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.reductions import Reductions
from robustfl.aggregation.updates.readers import Columns, Dense, Reader
from robustfl.aggregation.updates.source import Source
from robustfl.errors import ParameterError, UpdatesError


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
        self.reductions = Reductions(group, self.matrix.device)

    @property
    def row(self) -> Array:
        return self.matrix[0]

    def whole(self, part: Tensor) -> Tensor:
        """The whole answer [d] from the parts of all processes, for a shard of `exchange`; `part` is this process's."""
        answer, work, _ = _gathering(part, self.total_columns, self.group)
        work.wait()
        return answer

    def open(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        """The source that a call reads: sums over its columns are sums over all processes."""
        self.reductions.stopped = False
        return _Spread(reader, ids, rows, shard=self)


class _Spread(Source):
    """Some of the columns; other processes hold the rest."""

    def __init__(self, *arguments: Any, shard: Shard, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shard = shard
        self.d, self.offset = shard.total_columns, shard.offset

    def whole(self) -> None:
        """Processes decide alike, also one that happens to hold all columns."""

    def total(self, value: Array) -> Array:
        return self._shard.reductions.sum(np.asarray(value))

    def largest(self, value: Floats) -> Floats:
        return self._shard.reductions.largest(value)

    def agreed(self, flag: bool) -> bool:
        return self._shard.reductions.agreed(flag)

    def failed(self, error: Exception) -> None:
        self._shard.reductions.failed(error)

    def _alike(self, reader: Reader, ids: tuple[Hashable, ...], rows: list[int] | None) -> Source:
        return _Spread(reader, ids, rows, shard=self._shard, trusted=self.trusted, share=self.share)


def exchange(update: Tensor, group: Any = None, *, counts: Sequence[int] | None = None, unit: int = 1) -> Shard:
    """Send every process its columns of `update`, and get the values of all processes in this process's columns.

    Process r of n holds the columns from `r ceil(d/n)` on, and with `counts` as many whole units of `unit` columns.
    `update` may have any shape, which must be the same on every process. With `counts`, a process has several rows:
    `update` is then [counts[r], d] on process r, and the rows of the shard are those of process 0, then those of
    process 1, and so on. A process may have no row at all.

    Raises
    ------
    UpdatesError : on all processes, if one of them has no floating-point numbers, or if the number or the type of the
        values differs between processes, or the rows are not as many as `counts` says, the same on every process
    """
    if counts is None:
        _agree(update, group, None)
        return Exchange([update.detach().reshape(-1)], group).shard()
    if unit < 1:
        raise ParameterError(f"`unit` should be a number of columns, at least 1. Found unit={unit!r}.")
    _agree_on_rows(update, group, counts)
    n, rank, d = dist.get_world_size(group), dist.get_rank(group), update.shape[1]
    (share, held), m = held_columns(d, n, unit), len(update)
    padded = torch.nn.functional.pad(update.detach(), (0, share * n - d))
    sent = padded.view(m, n, share).transpose(0, 1).reshape(-1)  # [n, m, share]: first what goes to process 0
    block = torch.empty(sum(counts) * share, dtype=update.dtype, device=update.device)
    dist.all_to_all_single(block, sent, [count * share for count in counts], [m * share] * n, group=group)
    return Shard(block.view(sum(counts), share)[:, : held[rank]], d=d, offset=rank * share, group=group)


def held_columns(d: int, n: int, unit: int = 1) -> tuple[int, list[int]]:
    """How many of `d` columns each of `n` processes holds at most, in whole units, and how many it does hold."""
    share = -(-d // (n * unit)) * unit
    return share, [max(min(share, d - rank * share), 0) for rank in range(n)]


class Exchange:
    """The exchange of an update that comes in parts, one after the other, as the buckets of a backward pass do.

    Every part goes out as soon as it is there, and :meth:`shard` waits for all of them. The columns of this process are
    those of its share of the first part, then those of its share of the second, and so on. All processes should send
    equal parts in the same order; unlike :func:`exchange`, nothing checks that.

    Parameters
    ----------
    parts : the first parts [d_1], [d_2], ..., of floating-point numbers
    group : the process group; None for the default group
    """

    def __init__(self, parts: Iterable[Tensor] = (), group: Any = None) -> None:
        self.group, self.n, self.rank = group, dist.get_world_size(group), dist.get_rank(group)
        self._parts: list[_Part] = []
        for part in parts:
            self.send(part)

    def send(self, part: Tensor) -> None:
        """Send the columns of one more part, without waiting for them."""
        d = part.numel()
        sent = torch.nn.functional.pad(part, (0, -(-d // self.n) * self.n - d))
        block = torch.empty_like(sent)
        work = dist.all_to_all_single(block, sent, group=self.group, async_op=True)
        self._parts.append(
            _Part(d=d, block=block.view(self.n, -1), held=held_columns(d, self.n)[1], work=work, sent=sent)
        )

    def shard(self) -> Shard:
        """The values of all processes in this process's columns of all parts, once they are there."""
        for part in self._parts:
            part.work.wait()
        blocks = [part.block[:, : part.held[self.rank]] for part in self._parts]
        block = blocks[0] if len(blocks) == 1 else torch.cat(_alike(blocks), dim=1)
        offset = sum(sum(part.held[: self.rank]) for part in self._parts)
        return Shard(block, d=sum(part.d for part in self._parts), offset=offset, group=self.group)

    def gathered(self, answer: Tensor) -> list[Tensor]:
        """From this process's columns of an answer: each part of the whole answer, [d_1], [d_2], ..., in its type."""
        started = []
        owned = torch.split(answer, [part.held[self.rank] for part in self._parts])
        for part, own in zip(self._parts, owned, strict=True):
            started.append(_gathering(own.to(part.block.dtype), part.d, self.group))
        for _, work, _ in started:
            work.wait()
        return [whole for whole, _, _ in started]


def _gathering(own: Tensor, d: int, group: Any) -> tuple[Tensor, Any, Tensor]:
    """Begin to gather [d] from the columns of all processes; returned with what must live until the work has ended."""
    n = dist.get_world_size(group)
    share = -(-d // n)
    padded = torch.nn.functional.pad(own, (0, share - len(own))).contiguous()
    whole = torch.empty(share * n, dtype=padded.dtype, device=padded.device)
    # newer versions deprecate the first name in favour of the second
    gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
    return whole[:d], gather(whole, padded, group=group, async_op=True), padded


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part on its way: `held` columns for each process, and what must live until the work has ended."""

    d: int
    block: Tensor
    held: list[int]
    work: Any
    sent: Tensor


def _alike(blocks: list[Tensor]) -> list[Tensor]:
    """The blocks in the widest of their types."""
    widest = functools.reduce(torch.promote_types, (block.dtype for block in blocks))
    return [block.to(widest) for block in blocks]


def _agree_on_rows(rows: Tensor, group: Any, counts: Sequence[int]) -> None:
    """Raise the same UpdatesError on all processes if their rows do not fit together."""
    n, rank = dist.get_world_size(group), dist.get_rank(group)
    fits = rows.ndim == 2 and rows.is_floating_point() and len(counts) == n and rows.shape[0] == counts[rank]
    told = zlib.crc32(str((rows.dtype, tuple(counts))).encode())
    own = torch.tensor([rows.shape[-1] if fits else -1, told], dtype=torch.int64, device=rows.device)
    everybody = [torch.empty_like(own) for _ in range(n)]
    dist.all_gather(everybody, own, group=group)
    widths, kinds = zip(*(one.tolist() for one in everybody), strict=True)
    if len(set(widths)) > 1 or len(set(kinds)) > 1 or widths[0] < 1 or sum(counts) < 1:
        raise UpdatesError(
            "All processes should have rows [counts[r], d] of floating-point numbers, with the same d, type and "
            f"`counts`, one count for each process. Found {list(rows.shape)} of {rows.dtype} with counts={list(counts)}"
            f" on process {rank}; the numbers of columns are {['unfit' if w < 1 else w for w in widths]}."
        )


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

    The documentation of the module says what this protects against and what it does not protect against.

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
    """
    _agree(update, group, trusted)
    flight = Exchange([update.detach().reshape(-1)], group)
    shard = flight.shard()
    own = slice(shard.offset, shard.offset + shard.d)
    answer = rule.aggregate(shard, trusted=None if trusted is None else trusted.detach().reshape(-1)[own])
    value = flight.gathered(answer.value)[0].view(update.shape)
    return replace(answer, value=value) if full else value


__all__ = ["Exchange", "Shard", "exchange", "robust_all_reduce"]
