"""Mixing over torch.distributed: every process holds some peers, and all of them mix as one process would.

One all-to-all spreads the columns of all letters over the processes, in whole blocks, so that each process holds all
letters in its share of the columns. Rules by columns are then local, and rules by distances add up the squared
distances of the pairs that meet, from process to process in the order of the columns. Another all-to-all brings each
new model to the process of its peer. So new models are those of one process to the last bit, whatever the number of
processes.

Rows sent to their readers in place of columns would cost more wherever peers read from more than two other processes'
peers: letters of 10,000 peers with 8 neighbours each, on 16 processes, are read by most of these.

As in :mod:`robustfl.aggregation.sharded`, letters may hold any numbers, and the processes themselves are trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods.letters import Hoods, Integers, Letters, Occasion
from robustfl.aggregation.neighbourhoods.mixer import Mixed, Mixer, Short
from robustfl.aggregation.neighbourhoods.passes import SUMMED, Lines, Passes
from robustfl.aggregation.reductions import Reductions
from robustfl.aggregation.sharded import exchange, held_columns
from robustfl.errors import ParameterError


@dataclass(frozen=True)
class SpreadLetters(Letters):
    """The letters of all processes in some of the columns; :func:`spread` makes them.

    Attributes
    ----------
    whole : the number of columns of whole letters
    counts : the number of letters of each process
    reductions : the processes that hold the other columns
    """

    whole: int = 0
    counts: tuple[int, ...] = ()
    reductions: Reductions = None  # type: ignore[assignment]  # a field after those that have defaults needs one

    @property
    def total_columns(self) -> int:
        return self.whole

    def passes(self, suspects: Integers, limit: float) -> Passes:
        return _SpreadPasses(self.rows, suspects, limit, reductions=self.reductions)

    def returned(self, made: Array, own: Integers) -> Array:
        """The new models of the peers of this process, whole, from those of all peers in each process's columns [n, b].

        `own` [n] are the rows of the peers' own letters: their processes get them, in the order of their lines.
        """
        group = self.reductions.group
        size, rank = dist.get_world_size(group), dist.get_rank(group)
        owners = np.repeat(np.arange(size), self.counts)[own]
        held = held_columns(self.whole, size, SUMMED)[1]
        sizes = np.bincount(owners, minlength=size).tolist()
        sent = torch.as_tensor(np.ascontiguousarray(made[np.argsort(owners, kind="stable"), : held[rank]])).reshape(-1)
        lengths = [sizes[rank] * wide for wide in held]
        arrived = torch.empty(sum(lengths), dtype=sent.dtype)
        dist.all_to_all_single(arrived, sent, lengths, [count * held[rank] for count in sizes], group=group)
        parts = np.split(arrived.numpy(), np.cumsum(lengths)[:-1])
        blocks = [part.reshape(sizes[rank], wide) for part, wide in zip(parts, held, strict=True)]
        whole: Array = np.concatenate(blocks, axis=1)
        return whole


class _SpreadPasses(Passes):
    """Passes over some of the columns, of which every process makes equal ones in the same order."""

    def __init__(
        self, rows: Array, suspects: Lines | None = None, limit: float = np.inf, *, reductions: Reductions
    ) -> None:
        super().__init__(rows, suspects, limit)
        self._reductions = reductions

    def like(self, rows: Array, suspects: Lines | None = None) -> Passes:
        return _SpreadPasses(rows, suspects, reductions=self._reductions)

    def largest(self, peaks: Floats) -> Floats:
        return self._reductions.largest(peaks)

    def added(self, parts: Sequence[Floats], count: int) -> Floats:
        return self._reductions.in_order(parts, np.zeros(count))


def spread(models: torch.Tensor, counts: Sequence[int], group: Any = None) -> SpreadLetters:
    """The letters of all processes in this process's columns, from the letters [counts[r], d] of process r.

    The letters of process 0 come first, then those of process 1, and so on. A process for which no column is left holds
    one of zeros, which adds nothing to any distance.

    Parameters
    ----------
    models : the letters of this process, float32 or float64 in memory; it may have none
    counts : how many letters each process has, the same on every process
    group : the process group; None for the default group. It has to be able to send tensors in memory, as gloo can

    Raises
    ------
    UpdatesError : on all processes, if their letters do not fit together
    """
    shard = exchange(models, group, counts=counts, unit=SUMMED)
    rows = shard.matrix if shard.matrix.shape[1] else shard.matrix.new_zeros((len(shard.matrix), 1))
    return SpreadLetters(
        rows.contiguous(), whole=shard.total_columns, counts=tuple(counts), reductions=shard.reductions
    )


def mix_spread(
    mixer: Mixer, letters: SpreadLetters, hoods: Hoods, occasion: Occasion | None = None, *, short: Short = "lower"
) -> Mixed:
    """Mix the letters of all processes, as :meth:`Mixer.mix` does with those of one.

    Cost per process, for N letters, n peers, W processes and d numbers a model: 1/W of the arithmetic, 2 n d/W numbers
    sent and received besides those of :func:`spread`, which are 2 N d/W, 8 bytes for each pair of letters that meet,
    and memory for 2 n d/W numbers.

    Parameters
    ----------
    mixer : a rule that can be asked about some of the columns (:attr:`Mixer.by_columns`), equal on every process; each
        process keeps its columns of what the rule remembers
    letters : what :func:`spread` has made
    hoods : who reads which of them, the same on every process; rows are counted from those of process 0 on
    occasion : the round; nothing in it may need whole letters
    short : what peers do whose neighbourhoods are too small for the rule

    Returns
    -------
    The answer about all peers, equal on every process, but for `models`: those are the new models of the peers whose
    own letters come from this process, in the order of their lines.

    Raises
    ------
    ParameterError : the rule needs whole letters; processes ask different rules, or about different neighbourhoods
    UpdatesError : letters and neighbourhoods do not fit each other
    RobustflError : as in :meth:`Mixer.mix`. What a single process raises inside the rule ends the call on all of them
        with an error of the same kind
    """
    everybody = letters.reductions
    try:
        asked = hoods.index, hoods.weights, hoods.bounds, hoods.senders, hoods.strangers
        everybody.require_alike(
            repr((mixer, short)).encode(),
            *(np.ascontiguousarray(part).tobytes() for part in asked),
            refusal="All processes should ask one rule about the same neighbourhoods. What they ask differs.",
        )
        if not mixer.by_columns:
            raise ParameterError(whole_letters(mixer))
        mixed = mixer.mix(letters, hoods, occasion, short=short)
        everybody.agreed(True)
    except Exception as error:
        everybody.failed(error)
        raise
    return replace(mixed, models=letters.returned(mixed.models, hoods.index[:, 0].astype(np.int64)))


def whole_letters(mixer: Mixer) -> str:
    """Why a rule that is not :attr:`Mixer.by_columns` cannot be asked by several processes."""
    return (
        "On several processes, a rule of peers should be one by weights, distances or columns, as each process has "
        f"some columns of all letters. Found {mixer!r}, which needs whole letters."
    )


__all__ = ["SpreadLetters", "mix_spread", "spread", "whole_letters"]
