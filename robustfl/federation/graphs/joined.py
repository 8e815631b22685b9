"""Groups of peers that all hear each other, with few edges or many between the groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.graphs.graph import Edges, Graph, Nodes


@dataclass(frozen=True, kw_only=True)
class TwoCliques(GraphFamily):
    """Two halves in which everybody hears everybody, with `bridges` edges between them.

    Bridge k joins the last peer but k of the first half with the k-th peer of the second half, so that no two bridges
    have a common end. Whoever holds the ends holds what the halves hear of each other.

    >>> TwoCliques(bridges=2).draw(6, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 2], [1, 2], [1, 4], [2, 3], [3, 4], [3, 5], [4, 5]]
    """

    bridges: Annotated[int, Ge(1), Doc("number of edges between the halves; at most half the clients")] = 1

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        first, second = _halves(clients)
        if self.bridges > len(second):
            raise ParameterError(
                f"TwoCliques: `bridges` should satisfy bridges <= {len(second)}, half of {clients} clients. Found "
                f"bridges={self.bridges}. Use fewer bridges, or two_worlds."
            )
        bridges = np.stack([first[::-1][: self.bridges], second[: self.bridges]], axis=1)
        return Graph(n=clients, edges=np.concatenate([_clique(first), _clique(second), bridges]))


@dataclass(frozen=True, kw_only=True)
class Dumbbell(GraphFamily):
    """Two groups in which everybody hears everybody, at the ends of a chain of `between` peers.

    >>> Dumbbell(between=1).draw(7, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [4, 5], [4, 6], [5, 6]]
    """

    between: Annotated[int, Ge(0), Doc("number of peers on the chain between the groups")] = 1

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        if self.between > clients - 2:
            raise ParameterError(
                f"Dumbbell: `between` should satisfy between <= clients - 2. Found between={self.between}, "
                f"clients={clients}. Use a shorter chain or more clients."
            )
        size = (clients - self.between + 1) // 2
        first, second = np.arange(size), np.arange(size + self.between, clients)
        chain = np.arange(size - 1, size + self.between)
        ends = np.stack([chain, chain + 1], axis=1)
        return Graph(n=clients, edges=np.concatenate([_clique(first), _clique(second), ends]))


@dataclass(frozen=True, kw_only=True)
class TwoWorlds(GraphFamily):
    """Two halves in which everybody hears everybody, and each peer hears `q` peers of the other half.

    Peer i of the first half hears the peers i to i + q - 1 (modulo n/2) of the second half. The algebraic connectivity
    is 2 q, which bounds how many malicious neighbours any rule can stand.

    References
    ----------
    R. Gaucher, A. Dieuleveut, H. Hendrikx. Unified Breakdown Analysis for Byzantine Robust Gossip. ICML 2025.

    >>> TwoWorlds(q=2).draw(8, np.random.default_rng(0)).neighbours(0).tolist()
    [1, 2, 3, 4, 5]
    """

    q: Annotated[int, Ge(1), Doc("number of neighbours that each peer has in the other half")] = 2

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        first, second = _even_halves(type(self).__name__, clients)
        if self.q > len(first):
            raise ParameterError(
                f"TwoWorlds: `q` should satisfy q <= {len(first)}, half of {clients} clients. Found q={self.q}. Use a "
                f"smaller q or more clients."
            )
        across = [np.stack([first, np.roll(second, -shift)], axis=1) for shift in range(self.q)]
        return Graph(n=clients, edges=np.concatenate([_clique(first), _clique(second), *across]))


@dataclass(frozen=True, kw_only=True)
class TwoCastle(GraphFamily):
    """Everybody hears everybody but one: peer i of the first half does not hear peer i of the second half.

    References
    ----------
    Z. Wu, T. Chen, Q. Ling. Byzantine-Resilient Decentralized Stochastic Optimization With Robust Aggregation Rules.
    IEEE Transactions on Signal Processing, 2023.

    >>> TwoCastle().draw(6, np.random.default_rng(0)).neighbours(0).tolist()
    [1, 2, 4, 5]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        first, second = _even_halves(type(self).__name__, clients)
        across = [np.stack([first, np.roll(second, -shift)], axis=1) for shift in range(1, len(first))]
        return Graph(n=clients, edges=np.concatenate([_clique(first), _clique(second), *across]))


def _halves(n: int) -> tuple[Nodes, Nodes]:
    """The numbers of both halves; the first one is larger if n is odd."""
    return np.arange((n + 1) // 2), np.arange((n + 1) // 2, n)


def _even_halves(owner: str, n: int) -> tuple[Nodes, Nodes]:
    if n % 2:
        raise ParameterError(
            f"{owner}: `clients` should be even, for two equal halves. Found {n}. Use {n - 1} or {n + 1} clients."
        )
    return _halves(n)


def _clique(peers: Nodes) -> Edges:
    """The edges between all of these peers."""
    one, other = np.triu_indices(len(peers), 1)
    return np.stack([peers[one], peers[other]], axis=1)
