"""Malicious peers that join a network from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.graphs.graph import Graph
from robustfl.threats import Placement
from robustfl.threats.peers.placement import MAX_DEGREE, place_sybils, sybils_needed


@dataclass(frozen=True, kw_only=True)
class Attached(Placement):
    """Sybils beside the network, with `edges` attack edges per honest peer and so many neighbours each.

    Method: see :func:`~robustfl.threats.peers.placement.place_sybils`. With 1, no honest peer meets two of them, which
    is the worst case for rules that only compare neighbours. As published, each Sybil serves peers that are near each
    other, so that most neighbours of a peer meet the same Sybil as it does, and cannot tell it of others; `by_chance`
    (this project's) mixes them. The number of Sybils follows from the edges, and the identities of the attack should be
    as many.

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    Examples
    --------
    >>> from robustfl.attacks import Attached
    >>> ring = Graph(n=8, edges=[(peer, (peer + 1) % 8) for peer in range(8)])
    >>> Attached(max_degree=4).outside(ring)
    2
    >>> Attached(max_degree=4).attach(ring, 2, np.random.default_rng(0))
    [(3, 4, 5, 6), (0, 1, 2, 7)]
    """

    reference: ClassVar[str] = "Werthenbach and Pouwelse, Towards Sybil Resilience in Decentralized Learning, 2023"
    unfit: ClassVar[str] = "for peers of the network that turn malicious: it puts Sybils beside them, and nobody inside"

    edges: Annotated[float, Gt(0), Le(1e6), Doc("edges between honest peers and Sybils, per honest peer")] = 1.0
    max_degree: Annotated[int, Ge(1), Doc("largest number of neighbours of a Sybil")] = MAX_DEGREE

    by_chance: Annotated[bool, Doc("whether chance decides which peers share a Sybil, and not nearness")] = False

    def outside(self, graph: Graph) -> int:
        return sybils_needed(graph.n, self.edges, self.max_degree)

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        raise ParameterError(
            "Attached: peers join from outside, and none of the network is malicious. Use identities with "
            "`outside: true`, or another placement."
        )

    def _attach(self, graph: Graph, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        wanted = self.outside(graph)
        if count != wanted:
            raise ParameterError(
                f"Attached: {self.edges:g} edges per honest peer and at most {self.max_degree} per Sybil need {wanted} "
                f"Sybils in a network of {graph.n} peers. Found {count}. Use {wanted} identities, or change `edges` or "
                "`max_degree`."
            )
        return place_sybils(
            graph, attack_edges=self.edges, max_degree=self.max_degree, by_chance=self.by_chance, rng=rng
        )
