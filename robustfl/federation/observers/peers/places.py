"""The network itself, and how peers fare by their distance from malicious ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.clients.training import predict
from robustfl.federation.data.partitions import class_histogram
from robustfl.federation.observers.aims import aim_of
from robustfl.federation.observers.contract import Observer
from robustfl.federation.observers.peers.accuracy import PeerAccuracy
from robustfl.federation.peers.network import Network
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.trace import Trace
from robustfl.graphs.exposure import exposure, malicious_neighbours
from robustfl.graphs.graph import UNREACHED, Graph
from robustfl.graphs.spectrum import spectral_gap
from robustfl.measures import Measure

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DRAWN_PEERS, DRAWN_EDGES = 400, 4000
"""Records hold networks up to this size."""
NO_CLASS = -1
"""The main class of a peer without samples, or of one whom an adversary has added."""

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Places(Observer):
    """What the graph of the first round says, and the accuracy of honest peers by hops.

    A peer with a malicious neighbour has hop 0. Every other honest peer has the number of edges between honest peers to
    the nearest such peer. `observable` peers are those of whom malicious ones see every letter that they get: they know
    such a peer's model before and after its own steps, and so its update.

    Parameters
    ----------
    setup : the fixed part of the simulation
    accuracy : the observer that measures the peers
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("parts", "parts into which malicious peers cut the network of honest ones", unit="parts"),
        Measure("mu2", "algebraic connectivity of the graph of honest peers", better="higher"),
        Measure("gap", "spectral gap of the mixing weights of honest peers among themselves", better="higher"),
        Measure("local_bound", "largest number of malicious neighbours of an honest peer", unit="peers"),
        Measure("declared_bound", "largest number of malicious neighbours that a rule was told", unit="peers"),
        Measure("attack_edges", "edges to malicious peers for each honest one, in the mean", unit="edges"),
        Measure(
            "observable", "share of honest peers whose updates malicious ones can compute", unit="share", better="lower"
        ),
        Measure("touched", "share of honest peers with a malicious neighbour", unit="share", better="lower"),
        Measure("hop_peers", "number of honest peers at each hop from malicious ones", unit="peers", form="by name"),
        Measure("hop_accuracy", "accuracy by hops from malicious peers", unit="share", better="higher", form="by name"),
        Measure(
            "hop_attack_success", "success of the attack by hops from malicious peers", unit="share", form="by name"
        ),
        Measure("malicious_peers", "the numbers of malicious peers, in networks that can be drawn", form="list"),
        Measure("network_edges", "both ends of each edge, one edge after the other; a reader may draw it", form="list"),
        Measure("network_places", "x and y of each peer, one after the other, where peers have a place", form="list"),
        Measure(
            "network_directed", "whether the first end of an edge hears the second, and not the reverse", form="flag"
        ),
        Measure("main_classes", "the class of which each peer has most samples; -1 without samples", form="list"),
    )

    def __init__(self, setup: Setup, accuracy: PeerAccuracy) -> None:
        assert setup.network is not None
        self._setup, self._accuracy, self._network = setup, accuracy, setup.network
        self._aim = None if setup.attack is None else aim_of(setup.population, setup.attack)
        self._success: NDArray[np.float64] | None = None

    @torch.no_grad()
    def hear(self, round: Round) -> None:
        if self._aim is not None and round.last and round.served is not None and not round.diverged:
            rates = [self._aim.rates(partial(predict, self._setup.population, model)) for model in round.served]
            self._success = np.array([one["attack_success"] for one in rates])

    def report(self, trace: Trace) -> None:
        network, graph, honest = self._network, self._network.graph(), self._setup.honest
        malicious = np.flatnonzero(network.malicious)
        facts, (left, _) = exposure(graph, malicious), graph.without(malicious)
        touched = malicious_neighbours(graph, malicious)[honest] > 0
        self.tell(
            trace,
            parts=facts.parts,
            mu2=facts.mu2,
            gap=spectral_gap(among(network.weights(graph), honest)),
            local_bound=facts.local_bound,
            declared_bound=int(network.bounds(graph)[honest].max(initial=0)),
            attack_edges=facts.attack_edges / facts.honest,
            observable=facts.observable,
            touched=facts.touched,
            **self._by_hops(left, touched),
            **self._drawn(graph, malicious),
        )

    def _drawn(self, graph: Graph, malicious: Ids) -> dict[str, Any]:
        """What a drawing of the network needs, where it is small enough to be drawn with its edges."""
        if graph.n > DRAWN_PEERS or len(graph.edges) > DRAWN_EDGES:
            return {}
        population = self._setup.population
        mixes = class_histogram(population.labels.cpu().numpy(), population.parts, population.classes)
        main = np.where(mixes.sum(axis=1) > 0, mixes.argmax(axis=1), NO_CLASS)
        added = np.full(graph.n - len(main), NO_CLASS)
        found: dict[str, Any] = {
            "malicious_peers": malicious.tolist(),
            "network_edges": graph.edges.ravel().tolist(),
            "network_directed": graph.directed,
            "main_classes": np.concatenate([main, added]).tolist(),
        }
        if graph.positions is not None:
            found["network_places"] = graph.positions.ravel().round(4).tolist()
        return found

    def _by_hops(self, left: Graph, touched: Mask) -> dict[str, Any]:
        accuracy = self._accuracy.last
        if accuracy is None or not touched.any():
            return {}
        hops = left.hops(np.flatnonzero(touched))
        names = {hop: "beyond" if hop == UNREACHED else str(hop) for hop in np.unique(hops).tolist()}
        found: dict[str, Any] = {
            "hop_peers": {name: int((hops == hop).sum()) for hop, name in names.items()},
            "hop_accuracy": {name: float(accuracy[hops == hop].mean()) for hop, name in names.items()},
        }
        if self._success is not None:
            found["hop_attack_success"] = {
                name: float(self._success[hops == hop].mean()) for hop, name in names.items()
            }
        return found


def among(weights: csr_array, peers: Ids) -> csr_array:
    """The mixing weights of some peers among themselves; what others would get is each peer's own.

    >>> from robustfl.graphs.weights import mixing_weights
    >>> among(mixing_weights(Graph(n=3, edges=[(0, 1), (1, 2)])), np.array([0, 1])).toarray().round(3).tolist()
    [[0.667, 0.333], [0.333, 0.667]]
    """
    from scipy.sparse import csr_array, diags_array

    inside = weights[peers][:, peers]
    return csr_array(inside + diags_array(1.0 - np.asarray(inside.sum(axis=1)).ravel()))


def largest_part(network: Network, honest: Ids) -> Mask:
    """Which honest peers are in the largest part of their network, [h]; the first of equally large ones."""
    number = network.rounds - 1 if network.rules.merge == "all" else 0  # who is cut off is not any more, in the end
    left, _ = network.graph(number).without(np.setdiff1d(np.arange(network.n), honest))
    parts = left.parts()
    largest: Mask = parts == int(np.bincount(parts).argmax())
    return largest
