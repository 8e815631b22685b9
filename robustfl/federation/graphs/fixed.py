"""Graphs without chance: rings, stars, grids, hypercubes and exponential graphs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.graphs.graph import Edges, Graph

Rows = Annotated[
    int | None,
    Ge(1),
    Doc("number of rows, which divides the number of clients; when not given, the one nearest to a square"),
]


@dataclass(frozen=True, kw_only=True)
class Ring(GraphFamily):
    """Each peer hears the one before it and the one after it.

    Information needs n/2 hops, so that large rings mix slowly: the spectral gap is ``O(1/n^2)``.

    >>> Ring().draw(4, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 3], [1, 2], [2, 3]]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return Graph(n=clients, edges=_along(clients, wrapped=True))


@dataclass(frozen=True, kw_only=True)
class Chain(GraphFamily):
    """A ring without one of its edges: each peer hears the one before it and the one after it, if there is one.

    >>> Chain().draw(4, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [1, 2], [2, 3]]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return Graph(n=clients, edges=_along(clients, wrapped=False))


@dataclass(frozen=True, kw_only=True)
class Star(GraphFamily):
    """Peer 0 hears everybody, and everybody hears peer 0 alone.

    >>> Star().draw(4, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 2], [0, 3]]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        leaves = np.arange(1, clients)
        return Graph(n=clients, edges=np.stack([np.zeros_like(leaves), leaves], axis=1))


@dataclass(frozen=True, kw_only=True)
class Complete(GraphFamily):
    """Everybody hears everybody.

    >>> Complete().draw(3, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 2], [1, 2]]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return Graph(n=clients, edges=np.stack(np.triu_indices(clients, 1), axis=1))


@dataclass(frozen=True, kw_only=True)
class Grid(GraphFamily):
    """Peers stand in rows and columns, and hear the next ones to the left and right, above and below.

    >>> Grid(rows=2).draw(6, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 3], [1, 2], [1, 4], [2, 5], [3, 4], [4, 5]]
    """

    rows: Rows = None

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return _lattice(type(self).__name__, clients, self.rows, wrapped=False)


@dataclass(frozen=True, kw_only=True)
class Torus(GraphFamily):
    """A grid whose last row is next to the first one, and whose last column is next to the first one.

    Everybody hears four peers; where there are two rows or two columns, the two edges between the same peers are one.

    >>> Torus().draw(9, np.random.default_rng(0)).degree.tolist()
    [4, 4, 4, 4, 4, 4, 4, 4, 4]
    """

    rows: Rows = None

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return _lattice(type(self).__name__, clients, self.rows, wrapped=True)


@dataclass(frozen=True, kw_only=True)
class Hypercube(GraphFamily):
    """Peers whose numbers differ in one binary digit hear each other; the number of clients is a power of two.

    >>> Hypercube().draw(8, np.random.default_rng(0)).neighbours(0).tolist()
    [1, 2, 4]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        digits = clients.bit_length() - 1
        if clients != 1 << digits:
            raise ParameterError(
                f"Hypercube: `clients` should be a power of two. Found {clients}. Use {1 << digits} or "
                f"{2 << digits} clients."
            )
        peers = np.arange(clients)
        return Graph(n=clients, edges=_unique(peers, peers ^ (1 << np.arange(digits))[:, None]))


@dataclass(frozen=True, kw_only=True)
class Exponential(GraphFamily):
    """Peer i hears the peers i - 1, i - 2, i - 4, ... (modulo n): about log2 n peers, without being heard by them.

    It is directed. With equal weights it mixes fast, with the gap ``2/(m + 1)`` for ``n = 2^m``.

    References
    ----------
    B. Ying, K. Yuan, Y. Chen, H. Hu, P. Pan, W. Yin. Exponential Graph is Provably Efficient for Decentralized Deep
    Training. NeurIPS 2021.

    >>> Exponential().draw(6, np.random.default_rng(0)).neighbours(0).tolist()
    [2, 4, 5]
    """

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return _shifted(clients, 1 << np.arange(_lengths(clients)))


@dataclass(frozen=True, kw_only=True)
class OnePeerExponential(GraphFamily):
    """In round t, peer i hears one peer alone: i - 2^(t mod m), modulo n, where m is the least with 2^m >= n.

    It is directed, and only the graphs of m rounds together are connected. With equal weights and ``n = 2^m``, these
    rounds compute the exact mean.

    References
    ----------
    B. Ying, K. Yuan, Y. Chen, H. Hu, P. Pan, W. Yin. Exponential Graph is Provably Efficient for Decentralized Deep
    Training. NeurIPS 2021.

    >>> [OnePeerExponential().draw(8, np.random.default_rng(0), number=t).neighbours(0).tolist() for t in range(4)]
    [[7], [6], [4], [7]]
    """

    def period(self, clients: int) -> int:
        return _lengths(clients) if clients > 2 else 1

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        return _shifted(clients, np.array([1 << number % _lengths(clients)]))


def _along(n: int, *, wrapped: bool) -> Edges:
    """The edges of a ring or of a chain."""
    peers = np.arange(n if wrapped else n - 1)
    return np.stack([peers, (peers + 1) % n], axis=1)


def _lattice(owner: str, n: int, rows: int | None, *, wrapped: bool) -> Graph:
    """A grid of n peers; the last row and column are next to the first ones if it is wrapped."""
    if rows is None:
        rows = max(side for side in range(1, math.isqrt(n) + 1) if n % side == 0)
        if rows == 1 and n > 3:
            raise ParameterError(
                f"{owner}: `clients` should be a product of rows and columns. Found {n} clients, a prime number. Use "
                f"{n - 1} or {n + 1} clients, or `rows: 1` for a single row."
            )
    if n % rows:
        fitting = ", ".join(str(side) for side in range(1, n + 1) if n % side == 0)
        raise ParameterError(f"{owner}: `rows` should divide {n}, the number of clients. Found {rows}. Use {fitting}.")
    place = np.arange(n).reshape(rows, -1)
    right, below = (np.roll(place, -1, axis=axis) for axis in (1, 0))
    if wrapped:
        return Graph(n=n, edges=_unique(place, np.stack([right, below])))
    edges = [(place[:, :-1], right[:, :-1]), (place[:-1], below[:-1])]
    return Graph(n=n, edges=np.concatenate([np.stack([one.ravel(), two.ravel()], axis=1) for one, two in edges]))


def _unique(ends: Edges, others: Edges) -> Edges:
    """The edges between the ends and each row of others, once each and without loops."""
    pairs = np.stack(np.broadcast_arrays(ends, others), axis=-1).reshape(-1, 2)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def _lengths(n: int) -> int:
    """The number of powers of two below n."""
    return (n - 1).bit_length()


def _shifted(n: int, lengths: Edges) -> Graph:
    """The directed graph in which peer i hears the peers i - length, modulo n."""
    peers = np.arange(n)
    ends = np.stack(np.broadcast_arrays(peers, (peers - lengths[:, None]) % n), axis=-1).reshape(-1, 2)
    return Graph(n=n, edges=ends, directed=True)
