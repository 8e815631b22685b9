"""The network of a simulation: its graphs, who in it is malicious, and what rules are told about that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.graphs.contract import GraphFamily
from robustfl.federation.peers.hearing import Hearing, hearing
from robustfl.federation.round import Ids
from robustfl.federation.settings import Peers
from robustfl.federation.streams import stream
from robustfl.graphs.graph import Graph

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Peers that an adversary adds to a network: `owners` [a] is the number of each, `ends` its honest neighbours."""

    owners: Ids
    ends: tuple[Ids, ...]


@dataclass(kw_only=True)
class Network:
    """Who hears whom in the rounds of a simulation.

    The graph of a seed is the same for every defense and every attack, and so is who is malicious.

    Attributes
    ----------
    family : the family of graphs
    rules : how peers mix
    clients : the number of the federation's own peers
    seed : the seed of the simulation
    declared : the number of peers that are malicious as far as rules are told
    supposed : [clients] whom the placement would make malicious, if there were so many
    malicious : [n] who is malicious, among all peers, also those that an adversary has added
    added : the peers that an adversary has added
    root : the folder of data files
    """

    family: GraphFamily
    rules: Peers
    clients: int
    seed: int
    declared: int
    supposed: Mask
    malicious: Mask
    added: Attachment | None = None
    root: Path | None = None
    _last: tuple[int, Graph] | None = field(default=None, init=False)

    @property
    def n(self) -> int:
        """The number of all peers."""
        return len(self.malicious)

    @property
    def changes(self) -> bool:
        """Whether graphs differ from round to round."""
        return self.rules.redraw == "round" or self.family.period(self.clients) > 1

    def graph(self, number: int = 0) -> Graph:
        """The graph of round `number` over all peers."""
        key = number if self.changes else 0
        if self._last is None or self._last[0] != key:
            self._last = key, self._extended(drawn(self.family, self.rules, self.clients, self.seed, key, self.root))
        return self._last[1]

    def bounds(self, graph: Graph) -> Ids:
        """How many malicious neighbours the rule of each peer is told, [n]."""
        told = self.rules.bound
        if isinstance(told, int):
            return np.full(graph.n, told)
        if told == "share":
            share = self.declared / self.clients
            return np.array([math.ceil(share * degree - 1e-9) for degree in graph.degree.tolist()], dtype=np.int64)
        return np.full(graph.n, largest_count(graph, self._suspected))

    @property
    def _suspected(self) -> Mask:
        suspected = np.concatenate([self.supposed, np.zeros(self.n - self.clients, dtype=np.bool_)])
        if self.added is not None:
            suspected[self.clients :] = True
        return suspected

    def weights(self, graph: Graph, bounds: Ids) -> Floats:
        """The gossip weight of every entry of the graph's sparse matrix, in its order."""
        allowed = bounds if self.rules.allow == "declared" else np.zeros_like(bounds)
        rows, columns = np.repeat(np.arange(graph.n), graph.degree), graph.matrix.indices
        size = graph.degree + allowed
        if self.rules.weights == "metropolis":
            return np.asarray(1.0 / (1.0 + np.maximum(size[rows], size[columns])))
        if self.rules.weights == "uniform":
            return np.asarray(1.0 / (1.0 + size[rows]))
        return np.full(len(rows), 1.0 / (1.0 + size.max(initial=0)))

    def hearing(self, number: int, receivers: Ids, up: Mask) -> Hearing:
        """The neighbourhoods of some peers in round `number`, with letters from those that are `up` [n]."""
        graph = self.graph(number)
        return hearing(graph, self.weights(graph, self.bounds(graph)), receivers, up)

    @cached_property
    def honest_graph(self) -> tuple[Graph, Ids]:
        """The first graph without malicious peers, and the numbers of those who are left."""
        return self.graph().without(np.flatnonzero(self.malicious))

    def _extended(self, graph: Graph) -> Graph:
        """The graph with the peers that the adversary has added."""
        if self.added is None:
            return graph
        new = [(owner, end) for owner, ends in zip(self.added.owners, self.added.ends, strict=True) for end in ends]
        edges = np.concatenate([graph.edges, np.array(new, dtype=np.int64).reshape(-1, 2)])
        return Graph(n=self.n, edges=edges)


def drawn(
    family: GraphFamily, rules: Peers, clients: int, seed: int, number: int = 0, root: Path | None = None
) -> Graph:
    """The graph of the federation's own peers in round `number`; the same for every defense and attack."""
    purpose = f"topology in round {number}" if rules.redraw == "round" and number else "topology"
    return family.draw(clients, stream(seed, purpose), number=number, root=root)


def largest_count(graph: Graph, malicious: Mask) -> int:
    """The largest number of malicious neighbours of an honest peer."""
    counts = graph.matrix @ malicious.astype(np.int64)
    return int(counts[~malicious].max(initial=0))
