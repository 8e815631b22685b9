"""The network of a simulation: its graphs, who in it is malicious, and what rules are told about that."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.data.partitions import class_histogram
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.federation.graphs.sampled import Sampled
from robustfl.federation.peers.hearing import Hearing, hearing
from robustfl.federation.peers.sampling import Samples
from robustfl.federation.round import Ids
from robustfl.federation.settings import Federation, Peers
from robustfl.federation.streams import stream
from robustfl.federation.task import Population
from robustfl.graphs.exposure import malicious_neighbours
from robustfl.graphs.graph import Edges, Graph
from robustfl.graphs.spectrum import fiedler
from robustfl.graphs.weights import mixing_weights
from robustfl.threats import Identities, Placement

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Who takes part in a round, and hears whom.

    Attributes
    ----------
    graph, weights : the graph of the round, and its mixing weights
    honest, malicious : the neighbourhoods of honest and of malicious peers
    bounds : [h] the number of malicious neighbours that the rule of each honest peer is told
    """

    graph: Graph
    weights: csr_array
    honest: Hearing
    malicious: Hearing
    bounds: Ids

    def of(self, honest: Ids, malicious: Ids) -> bool:
        """Whether these are the peers who take part."""
        return np.array_equal(self.honest.ids, honest) and np.array_equal(self.malicious.ids, malicious)


@dataclass(kw_only=True)
class Network:
    """Who hears whom in the rounds of a simulation.

    The graph of a seed is the same for every defense and every attack, and so is who is malicious.

    Attributes
    ----------
    family : the family of graphs
    rules : how peers mix
    rounds : the number of rounds
    clients : the number of the federation's own peers
    seed : the seed of the simulation
    declared : the number of peers that are malicious as far as rules are told
    order : [clients] the peers in an order in which the malicious ones come first
    supposed : [clients] whom chance or the attack would make malicious, if as many were as are declared
    ends : the neighbours of each peer from outside whom an adversary adds
    root : the folder of data files
    malicious : [n] who is malicious, among all peers, also those that an adversary has added
    """

    family: GraphFamily
    rules: Peers
    rounds: int
    clients: int
    seed: int
    declared: int
    order: Ids
    supposed: Mask
    ends: tuple[Ids, ...] = ()
    root: Path | None = None
    malicious: Mask = field(init=False)
    _added: Edges = field(init=False)
    _last: tuple[int, Graph] | None = field(default=None, init=False)
    _scene: Scene | None = field(default=None, init=False)

    def populate(self, malicious: Mask, leaders: Ids) -> None:
        """Say who is malicious, [n], and whose further identity each peer is, [n].

        A further identity of one of the federation's peers has the neighbours of that peer.
        """
        self.malicious, inside = malicious, self._inside(0)
        new, outside = [], iter(self.ends)
        for peer in range(self.clients, len(malicious)):
            leader = int(leaders[peer])
            ends = inside.neighbours(leader) if leader < self.clients else next(outside)
            new += [(int(end), peer) for end in ends]
        self._added = np.array(new, dtype=np.int64).reshape(-1, 2)

    @property
    def n(self) -> int:
        """The number of all peers."""
        return len(self.malicious)

    @property
    def changes(self) -> bool:
        """Whether graphs differ from round to round."""
        return self.rules.redraw == "round" or self.family.period(self.clients) > 1

    def graph(self, number: int = 0) -> Graph:
        """The graph of round `number` over all peers; that of all with all where they merge their models."""
        if self.rules.merges(number, self.rounds):
            return self._everybody
        key = number if self.changes else 0
        if self._last is None or self._last[0] != key:
            inside = self._inside(key)
            edges = np.concatenate([inside.edges, self._added])
            self._last = key, inside if self.n == self.clients else Graph(n=self.n, edges=edges)
        return self._last[1]

    def bounds(self, graph: Graph) -> Ids:
        """How many malicious neighbours the rule of each peer is told, [n]."""
        told = self.rules.bound
        if isinstance(told, int):
            return np.full(graph.n, told)
        if self.samples is not None:
            return np.full(graph.n, self._bound_of_samples(self.samples))
        if told == "share":
            share = self.declared / self.clients
            return np.asarray(np.ceil(share * graph.degree - 1e-9), dtype=np.int64)
        counts = malicious_neighbours(graph, np.flatnonzero(self._suspected))
        if told == "local":
            return counts
        return np.full(graph.n, int(counts[~self._suspected].max(initial=0)))

    def _bound_of_samples(self, samples: Samples) -> int:
        """How many malicious members of a sample the rule of its aggregators is told; `local` is for each round."""
        if self.rules.bound == "share":
            return int(np.ceil(self.declared / self.clients * min(samples.size, self.n) - 1e-9))
        return samples.most(self._suspected, self.rounds)

    @cached_property
    def names(self) -> Ids:
        """The names by which rules call the peers, [n]; they are drawn for the trial and tell nothing."""
        return stream(self.seed, "names of peers").permutation(self.n)

    @cached_property
    def samples(self) -> Samples | None:
        """Who takes part in which round; None where all peers do."""
        if not isinstance(self.family, Sampled):
            return None
        return Samples(names=self.names, size=self.family.size, aggregators=self.family.aggregators)

    def letters(self, honest: Ids) -> tuple[float, float]:
        """How many letters an honest peer sends in a round and gets, in the mean over rounds and honest peers.

        A round with several mixings counts as one. The graph is taken to be that of the first round until a last
        merging.
        """
        if self.samples is not None:
            size, aggregators = (min(count, self.n) for count in (self.samples.size, self.samples.aggregators))
            return (2.0 * size * aggregators / self.n,) * 2
        merged = 1 if self.rules.merge == "all" else 0
        usual, last = (len(self.rules.mixings(self.rounds)) - merged) / self.rounds, merged * (self.n - 1) / self.rounds
        graph = self.graph()
        sent, heard = float(graph.matrix.sum(axis=0)[honest].mean()), float(graph.degree[honest].mean())
        return usual * sent + last, usual * heard + last

    @cached_property
    def _everybody(self) -> Graph:
        """The graph in which all peers hear all others."""
        one, other = np.triu_indices(self.n, k=1)
        return Graph(n=self.n, edges=np.stack([one, other], axis=1))

    @property
    def _suspected(self) -> Mask:
        return np.concatenate([self.supposed, np.ones(self.n - self.clients, dtype=np.bool_)])

    def weights(self, graph: Graph) -> csr_array:
        """The mixing weights of a graph of the simulation."""
        spare = int(self.bounds(graph).max(initial=0)) if self.rules.allow == "declared" else 0
        # Of all weights for everybody with everybody, equal ones mix fastest; nothing has to be solved for that.
        whole = self.rules.merge == "all" and graph is self._everybody
        weighting = "metropolis" if whole and self.rules.weights == "fastest" else self.rules.weights
        return mixing_weights(graph, weighting, spare=spare)

    def sides(self, number: int, honest: Ids) -> Floats:
        """The entries of the Fiedler vector of the graph of some honest peers in a round, [h]; 0 for one peer."""
        left, _ = self.graph(number).without(np.setdiff1d(np.arange(self.n), honest))
        return fiedler(left) if left.n > 1 else np.zeros(left.n)

    def scene(self, number: int, honest: Ids, malicious: Ids) -> Scene:
        """The neighbourhoods of those who take part in round `number`; others send nothing."""
        graph = self.graph(number)
        same = None if self._scene is None or self._scene.graph is not graph else self._scene
        if same is not None and same.of(honest, malicious):
            return same
        weights = self.weights(graph) if same is None else same.weights
        up = np.zeros(self.n, dtype=np.bool_)
        up[honest] = up[malicious] = True
        self._scene = Scene(
            graph=graph,
            weights=weights,
            honest=hearing(graph, weights, honest, up),
            malicious=hearing(graph, weights, malicious, up),
            bounds=self.bounds(graph)[honest],
        )
        return self._scene

    def arranged(self, population: Population) -> Population:
        """The population as the rules say: with its data laid along the network, and with a first model of zeros."""
        if self.rules.start == "zero":
            population = population.from_zeros()
        if self.rules.arrange == "random" or self.clients == 1:
            return population
        labels = population.labels.cpu().numpy()
        mixes = class_histogram(labels, population.parts, population.classes)
        parts = [population.parts[part] for part in np.argsort(mixes.argmax(axis=1), kind="stable").tolist()]
        along = np.argsort(fiedler(self._inside(0)), kind="stable")
        laid = [parts[place] for place in np.argsort(along).tolist()]
        return population.with_data(population.features, population.labels, laid)

    def _inside(self, number: int) -> Graph:
        """The graph of the federation's own peers; the same for every defense and attack."""
        purpose = f"topology in round {number}" if self.rules.redraw == "round" and number else "topology"
        return self.family.draw(self.clients, stream(self.seed, purpose), number=number, root=self.root)


def network_of(
    settings: Federation,
    place: Placement | None,
    identities: Identities | None,
    f: int,
    declared: int,
    *,
    seed: int,
    roles: int,
    root: Path | None,
) -> Network:
    """The network of a simulation with `f` malicious peers at these places, where `declared` are declared.

    Without a placement their places are left to chance. `roles` is the seed that decides.

    Raises
    ------
    ParameterError : there is no such graph, or so many peers cannot be placed in it
    """
    clients = settings.clients
    graph = settings.topology.draw(clients, stream(seed, "topology"), root=root)

    def chosen(count: int) -> Ids:
        if place is None:
            return stream(roles, "placement").permutation(clients)[:count]
        return place.choose(graph, count, stream(roles, "placement"))

    ends: tuple[Ids, ...] = ()
    bad, supposed = np.empty(0, dtype=np.int64), np.zeros(clients, dtype=np.bool_)
    if identities is not None and identities.outside:
        count, where = f * identities.count, place or _Anywhere()
        ends = tuple(np.array(peers) for peers in where.attach(graph, count, stream(roles, "placement")))
    else:
        bad = chosen(f)
        supposed[bad if declared == f else chosen(min(declared, clients - 1))] = True
    return Network(
        family=settings.topology,
        rules=settings.network,
        rounds=settings.rounds,
        clients=clients,
        seed=seed,
        declared=declared,
        order=np.concatenate([bad, np.setdiff1d(np.arange(clients), bad)]),
        supposed=supposed,
        ends=ends,
        root=root,
    )


@dataclass(frozen=True, kw_only=True)
class _Anywhere(Placement):
    """Peers from outside beside peers whom chance chooses."""

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Ids:
        return rng.permutation(graph.n)[:f]
