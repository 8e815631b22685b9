"""Who reads whose letters in a round, as arrays with a line for each honest peer: nothing here loops over peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.neighbourhoods import Mixed
from robustfl.aggregation.neighbourhoods.letters import ABSENT
from robustfl.graphs.graph import Graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """The neighbourhoods of some peers: the peer itself in the first slot, its neighbours, ascending, in the others.

    Attributes
    ----------
    senders : [k, m] the neighbours; -1 where a peer has fewer than others
    weights : [k, m] the gossip weights, of sum 1 in every line; 0 where nobody is
    present : [k, m] whose letters arrive
    """

    senders: Ids
    weights: Floats
    present: Mask

    @property
    def ids(self) -> Ids:
        """The peers, [k]."""
        return self.senders[:, 0]

    def heard(self, who: Mask) -> Mask:
        """In which slots, but the first, letters arrive from peers that `who` [n] marks, [k, m]."""
        marked = self.present & who[np.maximum(self.senders, 0)]
        marked[:, 0] = False
        return marked

    def of(self, lines: Ids | Mask) -> Hearing:
        """The neighbourhoods of some of these peers."""
        return Hearing(senders=self.senders[lines], weights=self.weights[lines], present=self.present[lines])

    def without(self, lost: Mask) -> Hearing:
        """The same without the letters that `lost` [k, m] marks."""
        return replace(self, present=self.present & ~lost)

    def first(self, late: Ids, before_others: Mask, lost: Mask, rng: np.random.Generator) -> Hearing:
        """The same for peers who wait for the letters of all neighbours but `late` [k], whichever come first.

        Letters of those whom `before_others` [n] marks come before all others, and among the rest chance decides.
        Letters that are `lost` [k, m] never come. What comes too late leaves its weight to the others.
        """
        travels = self.present & ~lost
        travels[:, 0] = False
        when = np.where(travels, rng.random(travels.shape), np.inf) - self.heard(before_others)
        rank = np.argsort(np.argsort(when, axis=1, kind="stable"), axis=1, kind="stable")
        wanted = np.maximum((self.senders != ABSENT).sum(axis=1) - 1 - late, 0)
        missed = travels & (rank >= wanted[:, None])
        weights = np.where(missed, 0.0, self.weights)
        return Hearing(
            senders=np.where(missed, ABSENT, self.senders),
            weights=weights / weights.sum(axis=1, keepdims=True),
            present=self.present & ~missed,
        )


def hearing(graph: Graph, weights: csr_array, receivers: Ids, up: Mask) -> Hearing:
    """The neighbourhoods of `receivers` [k] in a graph; letters arrive from peers that are `up` [n].

    `weights` is the matrix of mixing weights, see :func:`robustfl.graphs.weights.mixing_weights`.
    """
    between = weights.indices != np.repeat(np.arange(graph.n), np.diff(weights.indptr))  # those of edges, in order
    starts, degree = graph.matrix.indptr.astype(np.int64), graph.degree[receivers]
    shape = len(receivers), 1 + int(degree.max(initial=0))
    line = np.repeat(np.arange(len(receivers)), degree)
    place = np.arange(len(line)) - np.repeat(np.cumsum(degree) - degree, degree)
    entry = np.repeat(starts[receivers], degree) + place
    senders, shares = np.full(shape, ABSENT, dtype=np.int64), np.zeros(shape)
    senders[:, 0] = receivers
    senders[line, 1 + place], shares[line, 1 + place] = graph.matrix.indices[entry], weights.data[between][entry]
    shares[:, 0] = 1.0 - shares.sum(axis=1)
    present = (senders != ABSENT) & up[np.maximum(senders, 0)]
    present[:, 0] = True
    return Hearing(senders=senders, weights=shares, present=present)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """One mixing of a round: who was to hear whom, which letters faults have lost [k, m], and what the rule made.

    `names` [k, m] are the ids by which the rule knows the senders, -1 where nobody is.
    """

    hearing: Hearing
    names: Ids
    lost: Mask
    mixed: Mixed

    @cached_property
    def arrived(self) -> Mask:
        """In which slots letters from others arrived, [k, m]."""
        arrived = self.hearing.present & ~self.lost
        arrived[:, 0] = False
        return arrived

    @property
    def refused(self) -> int:
        """The number of letters that arrived, and that the rule did not look at."""
        return int((self.mixed.rejected & self.arrived).sum())
