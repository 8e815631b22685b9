"""Everybody can reach everybody, and few do: a network in which the members of a sample write to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.graphs.graph import Graph


@dataclass(frozen=True, kw_only=True)
class Sampled(GraphFamily):
    """In each round a few peers, whom all others can work out, train one model together (MoDeST).

    The order of peers in a round is that of a hash of their names and of the round. The first `size` who answer a ping
    are its sample: they train and send their models to the `aggregators`, the first of the next sample, who combine
    them with the rule and send what they get to the whole next sample. Everybody knows everybody, so the graph is
    complete. Of three peers or more, a sample and its aggregators may be all, and no more.

    References
    ----------
    M. de Vos, A. Dhasade, A.-M. Kermarrec, E. Lavoie, J. Pouwelse. Decentralized Learning Made Practical with Client
    Sampling. arXiv:2302.13837, 2023.

    >>> Sampled(size=2).draw(3, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 2], [1, 2]]
    """

    reference: ClassVar[str] = (
        "de Vos et al., Decentralized Learning Made Practical with Client Sampling, arXiv 2302.13837, 2023"
    )

    label_parameters: ClassVar[tuple[str, ...]] = ("size", "aggregators")

    size: Annotated[int, Ge(1), Doc("number of peers who train in a round")] = 10
    aggregators: Annotated[
        int, Ge(1), Doc("number of peers who combine their models; each member takes the median of what it gets")
    ] = 1

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        if max(self.size, self.aggregators) > clients:
            raise ParameterError(
                "Sampled: a sample and its aggregators are some of the peers: it should satisfy size <= clients and "
                f"aggregators <= clients. Found size={self.size}, aggregators={self.aggregators} for {clients} peers."
            )
        return Graph(n=clients, edges=np.stack(np.triu_indices(clients, 1), axis=1))
