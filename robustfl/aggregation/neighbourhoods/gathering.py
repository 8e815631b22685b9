"""What a rule sees of a mixing: neighbourhoods without hostile letters, in groups of the same size and bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods.letters import ABSENT, Integers, Occasion
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.neighbourhoods.tiles import Columnwise, tiled


@dataclass(frozen=True)
class Group:
    """Peers with equally many usable letters and the same bound.

    Attributes
    ----------
    lines : [g] the numbers of the peers' lines in :class:`Hoods`
    slots : [g, m] the slots of the letters there: the peer's own first, then its neighbours' by ascending id
    index : [g, m] the rows of the letters
    senders : [g, m] the ids of the peers that sent them
    weights : [g, m] the gossip weights, of sum 1: what rejected and missing letters had is in the own weight
    b : how many of the neighbours may be malicious
    """

    lines: NDArray[np.int64]
    slots: NDArray[np.int64]
    index: NDArray[np.int32]
    senders: Integers
    weights: Floats
    b: int

    @property
    def m(self) -> int:
        """The number of letters of each peer, its own among them."""
        return int(self.index.shape[1])


@dataclass(frozen=True)
class Meetings:
    """Which rows are compared, and for whom.

    Attributes
    ----------
    pairs : [e, 2] distinct pairs of rows, in the order in which neighbourhoods have them: the rows of a few peers stay
        in a first-level cache until all their pairs are compared
    places : for every group, which pair is compared in each place, of any shape
    """

    pairs: NDArray[np.int32]
    places: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, asked: Sequence[NDArray[np.int32]]) -> Meetings:
        """The comparison of pairs of rows [..., 2] a group; two rows that meet in several places are compared once."""
        flat = np.concatenate([pairs.reshape(-1, 2) for pairs in asked]).astype(np.int64)
        low, high = flat.min(axis=1), flat.max(axis=1)
        _, first, inverse = np.unique(low * (high.max(initial=0) + 1) + high, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        places = np.split(rank[inverse.reshape(-1)], np.cumsum([pairs[..., 0].size for pairs in asked])[:-1])
        pairs = np.ascontiguousarray(flat[first[order]], np.int32)
        return cls(pairs, tuple(place.reshape(pairs.shape[:-1]) for place, pairs in zip(places, asked, strict=True)))

    def told(self, squares: Floats) -> list[Floats]:
        """What was found for the pairs [e], in every place of every group."""
        return [squares[place] for place in self.places]


def all_pairs(m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs (p, q) of m letters, each once: every letter, in a circle, with the half of them that comes after it.

    Equally many pairs begin with each letter, and they follow each other, which is how kernels read them fastest. A
    letter that is compared is one of the last few, which are in a first-level cache.
    """
    steps = np.arange(1, m // 2 + 1)
    first, step = np.repeat(np.arange(m), len(steps)), np.tile(steps, m)
    once = (2 * step < m) | (2 * first < m)  # those half a circle apart would meet twice
    return first[once], (first + step)[once] % m


class Groups(tuple[Group, ...]):
    """The groups of a mixing, and what follows from them alone."""

    @cached_property
    def edges(self) -> Meetings:
        """Who meets whom when each peer compares its own letter with those of its neighbours, [g, k] a group."""
        ends = [np.broadcast_arrays(group.index[:, :1], group.index[:, 1:]) for group in self]
        return Meetings.of([np.stack(pair, axis=-1) for pair in ends])

    @cached_property
    def pairs(self) -> Meetings:
        """Who meets whom when each peer compares all its letters, [g, m (m - 1) / 2] a group."""
        ends = [(group.index, *all_pairs(group.m)) for group in self]
        return Meetings.of([np.stack([index[:, p], index[:, q]], axis=-1) for index, p, q in ends])

    @cached_property
    def lines(self) -> NDArray[np.int64]:
        """The lines of all groups, one group after the other."""
        return np.concatenate([group.lines for group in self])

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """The rows of the letters of these lines, filled up with 0."""
        index = np.zeros((len(self.lines), max(group.m for group in self)), np.int32)
        first = 0
        for group in self:
            index[first : first + len(group.lines), : group.m] = group.index
            first += len(group.lines)
        return index


class Gathering:
    """The clean letters of one mixing, and everything that rules may ask about them.

    Distances are computed when a rule first asks for some, in one pass over the letters for all groups.

    Attributes
    ----------
    groups : the peers that heard somebody
    occasion : when it is, and what else peers can find out
    """

    def __init__(self, groups: Sequence[Group], occasion: Occasion, passes: Passes) -> None:
        self.groups = groups if isinstance(groups, Groups) else Groups(groups)
        self.occasion = occasion
        self.passes = passes

    @property
    def rows(self) -> Array:
        """All letters, [N, d], to be read and not written to; those that stand in a group are clean."""
        self.passes.verify()
        return self.passes.rows

    def about(self, rows: Array, index: Sequence[NDArray[np.int32]]) -> Gathering:
        """The same groups of peers over other rows, such as what they remember of letters; `index` [g, m] a group."""
        groups = [replace(group, index=own) for group, own in zip(self.groups, index, strict=True)]
        return Gathering(groups, self.occasion, self.passes.like(rows))

    def squared_distances(self, number: int) -> Floats:
        """``||x_i - x_j||^2`` [g, k] between each peer of a group and its k neighbours."""
        return self._edges[number]

    def squared_pairs(self, number: int) -> Floats:
        """``||x_p - x_q||^2`` [g, m, m] between all letters of each peer of a group, the own one first."""
        return self._pairs[number]

    def squared_norms(self, number: int) -> Floats:
        """``||x_p||^2`` [g, m] of all letters of each peer of a group."""
        return self._norms[self.groups[number].index]

    def squared_pairs_and_norms(self, number: int) -> tuple[Floats, Floats]:
        """Both of them, in one pass over the letters for all groups where neither was asked for before."""
        if not {"_pairs", "_norms"} & vars(self).keys():
            pairs, (used, lengths) = self.groups.pairs.pairs, self._lengths()
            found = self.passes.squared_distances(np.concatenate([pairs, lengths]))
            vars(self)["_pairs"] = self._placed(found[: len(pairs)])
            vars(self)["_norms"] = self._spread(used, found[len(pairs) :])
        return self.squared_pairs(number), self.squared_norms(number)

    @cached_property
    def _edges(self) -> list[Floats]:
        edges = self.groups.edges
        return edges.told(self.passes.squared_distances(edges.pairs))

    @cached_property
    def _pairs(self) -> list[Floats]:
        return self._placed(self.passes.squared_distances(self.groups.pairs.pairs))

    def _placed(self, found: Floats) -> list[Floats]:
        """What was found for all pairs [e], as a matrix [m, m] of each peer in a group."""
        squares = []
        for group, told in zip(self.groups, self.groups.pairs.told(found), strict=True):
            p, q = all_pairs(group.m)
            square = np.zeros((len(group.lines), group.m, group.m))
            square[:, p, q] = square[:, q, p] = told
            squares.append(square)
        return squares

    @cached_property
    def _norms(self) -> Floats:
        used, lengths = self._lengths()
        return self._spread(used, self.passes.squared_distances(lengths))

    def _lengths(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The rows [r] that somebody reads, and the pairs [r, 2] that each is with the origin."""
        used = np.unique(np.concatenate([group.index.ravel() for group in self.groups]))
        return used, np.stack([used, np.full(len(used), ABSENT, np.int32)], axis=-1).astype(np.int32)

    def _spread(self, used: NDArray[np.int32], found: Floats) -> Floats:
        squares = np.zeros(len(self.passes.rows))
        squares[used] = found
        return squares

    def combine(self, shares: Sequence[Floats], out: Array) -> bool:
        """The lines of all groups in `out` [n, d] become the letters' sums with the given shares, [g, m] a group.

        Says whether they are finite for sure: letters are small enough for a sum of all of a neighbourhood.
        """
        weights = np.zeros(self.groups.rows.shape)
        first, safe = 0, True
        for group, share in zip(self.groups, shares, strict=True):
            safe &= bool((np.abs(share).sum(axis=1) <= group.m).all())
            weights[first : first + len(group.lines), : group.m] = share
            first += len(group.lines)
        self.passes.combine(self.groups.rows, weights, self.groups.lines, out)
        return safe

    def columnwise(self, works: Sequence[Columnwise], maps: Sequence[Floats | None], out: Array) -> bool:
        """The lines of each group in `out` [n, d] become what its work makes of the columns of its letters.

        A work gets a block [m, b] of each peer's letters and returns [b]. With maps [g, m', m], it gets the m' sums of
        the letters with these weights in place of the letters. Says whether the models are finite for sure.
        """
        jobs, wide = [], False
        for group, work, mapped in zip(self.groups, works, maps, strict=True):
            write = tiled(work, group.m if mapped is None else mapped.shape[1], self.passes, group.index, mapped)
            wide |= write is None
            jobs.append((group.lines, write or self.passes.one_by_one(group.index, mapped, work)))
        width = self.passes.kernels.width(max(group.m for group in self.groups)) if wide else None
        self.passes.write(jobs, out, width)
        return not wide and all(mapped is None for mapped in maps)
