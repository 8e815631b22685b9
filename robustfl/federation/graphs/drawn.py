"""Random graphs: regular ones, Erdos-Renyi, small worlds, and points in the plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.graphs.geometric import geometric_network, usual_radius
from robustfl.graphs.graph import Edges, Graph


@dataclass(frozen=True, kw_only=True)
class Regular(GraphFamily):
    """A random graph in which everybody has `degree` neighbours: for 3 and more, an expander that mixes fast.

    Method: every peer gets `degree` stubs, which are joined in random pairs. Pairs that would be loops or edges for the
    second time are taken apart, and their stubs are joined anew, until all are joined or none of them can be.

    References
    ----------
    A. Steger, N. C. Wormald. Generating random regular graphs quickly. Combinatorics, Probability and Computing, 1999.

    >>> Regular(degree=3).draw(6, np.random.default_rng(0)).degree.tolist()
    [3, 3, 3, 3, 3, 3]
    """

    random: ClassVar[bool] = True

    label_parameters: ClassVar[tuple[str, ...]] = ("degree",)

    degree: Annotated[int, Ge(1), Doc("number of neighbours of each peer; clients * degree is even")] = 8

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        if self.degree >= clients:
            raise ParameterError(
                f"Regular: `degree` should satisfy degree < clients. Found degree={self.degree}, clients={clients}. "
                f"Use {clients - 1} or fewer neighbours, or complete."
            )
        if clients * self.degree % 2:
            raise ParameterError(
                f"Regular: clients * degree should be even. Found degree={self.degree}, clients={clients}. Use "
                f"`degree: {self.degree + 1 if self.degree + 1 < clients else self.degree - 1}`, or one client more."
            )
        sparse = min(self.degree, clients - 1 - self.degree)
        edges = None
        while edges is None:
            edges = _paired(clients, sparse, rng)
        if sparse < self.degree:  # who hears more than half of all is told by whom it does not hear
            rest = ~Graph(n=clients, edges=edges).adjacency()
            return Graph(n=clients, edges=np.argwhere(np.triu(rest, 1)))
        return Graph(n=clients, edges=edges)

    def _told(self) -> str:
        return f"degree {self.degree}"

    def _remedy(self, clients: int) -> str:
        return "3 or more neighbours are needed"


@dataclass(frozen=True, kw_only=True)
class ErdosRenyi(GraphFamily):
    """Each two peers are neighbours with the probability `p`, independently of all others.

    Most graphs are connected where ``p > ln(n)/n``.

    >>> graph = ErdosRenyi(p=0.5).draw(20, np.random.default_rng(0))
    >>> graph.connected, 60 < len(graph.edges) < 130
    (True, True)
    """

    random: ClassVar[bool] = True

    p: Annotated[float, Gt(0), Le(1), Doc("probability of each edge")] = 0.2

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        pairs = clients * (clients - 1) // 2
        count = int(rng.binomial(pairs, self.p))
        places = np.sort(rng.choice(pairs, size=count, replace=False, shuffle=False))
        return Graph(n=clients, edges=_pairs_at(places, clients))

    def _told(self) -> str:
        return f"p {self.p:g}"

    def _remedy(self, clients: int) -> str:
        return f"{_up(1.5 * math.log(clients) / clients):g} or more reaches all of them as a rule"


@dataclass(frozen=True, kw_only=True)
class WattsStrogatz(GraphFamily):
    """A small world: a ring on which everybody has `degree` near neighbours, and some edges lead to random peers.

    Method: each peer has an edge to the ``degree/2`` next ones. Each of these edges moves its far end with the
    probability `rewire` to a random peer, which is not a neighbour yet.

    References
    ----------
    D. J. Watts, S. H. Strogatz. Collective dynamics of small-world networks. Nature, 1998.

    >>> WattsStrogatz(degree=2, rewire=0.0).draw(4, np.random.default_rng(0)).edges.tolist()
    [[0, 1], [0, 3], [1, 2], [2, 3]]
    """

    random: ClassVar[bool] = True

    degree: Annotated[int, Ge(2), Doc("mean number of neighbours, an even number below the number of clients")] = 6
    rewire: Annotated[float, Ge(0), Le(1), Doc("probability that an edge moves")] = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.degree % 2:
            raise ParameterError(f"WattsStrogatz: `degree` should be even. Found degree={self.degree}.")

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        if self.degree >= clients:
            raise ParameterError(
                f"WattsStrogatz: `degree` should satisfy degree < clients. Found degree={self.degree}, "
                f"clients={clients}. Use fewer neighbours, or complete."
            )
        steps = range(1, self.degree // 2 + 1)
        near = [{(peer + sign * step) % clients for step in steps for sign in (1, -1)} for peer in range(clients)]
        for step in steps:
            for peer in np.flatnonzero(rng.random(clients) < self.rewire).tolist():
                if len(near[peer]) < clients - 1:
                    _move(near, peer, (peer + step) % clients, rng)
        edges = [(one, other) for one in range(clients) for other in near[one] if one < other]
        return Graph(n=clients, edges=edges)

    def _told(self) -> str:
        return f"degree {self.degree} with rewire {self.rewire:g}"

    def _remedy(self, clients: int) -> str:
        return f"use `degree: {self.degree + 2}` or more, or a smaller `rewire`"


@dataclass(frozen=True, kw_only=True)
class RandomGeometric(GraphFamily):
    """Random points in the unit square are neighbours up to a distance, each of at most `max_degree` others.

    Method: see :func:`~robustfl.graphs.geometric.geometric_network`. The radius that is not given is 0.2 for 99 peers,
    as published, and in proportion to ``sqrt(ln n / n)`` for other numbers. The graph knows the points.

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    >>> graph = RandomGeometric().draw(30, np.random.default_rng(0))
    >>> graph.connected, int(graph.degree.max()), graph.positions.shape
    (True, 7, (30, 2))
    """

    random: ClassVar[bool] = True

    radius: Annotated[
        float | None, Gt(0), Doc("length of the longest edge, in side lengths of the square; when not given, see above")
    ] = None
    max_degree: Annotated[int, Ge(2), Doc("largest number of neighbours of a peer")] = 7

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        points, edges = geometric_network(clients, self._radius(clients), self.max_degree, rng)
        return Graph(n=clients, edges=edges, positions=points)

    def _radius(self, clients: int) -> float:
        return usual_radius(clients) if self.radius is None else self.radius

    def _told(self) -> str:
        return f"max_degree {self.max_degree}" if self.radius is None else f"radius {self.radius:g}"

    def _remedy(self, clients: int) -> str:
        wanted = _up(1.1 * usual_radius(clients))
        if self._radius(clients) < wanted and self.radius is not None:
            return f"{wanted:g} or more reaches all of them as a rule"
        return f"use `max_degree: {self.max_degree + 1}` or more"


def _paired(n: int, degree: int, rng: np.random.Generator) -> Edges | None:
    """The edges of one random regular graph; None if the last stubs could not be joined."""
    joined = np.empty(0, dtype=np.int64)  # an edge i < j as the number i n + j
    stubs = np.repeat(np.arange(n), degree)
    while len(stubs):
        pairs = np.sort(rng.permutation(stubs).reshape(-1, 2), axis=1)
        codes = pairs[:, 0] * n + pairs[:, 1]
        first = np.zeros(len(codes), dtype=np.bool_)
        first[np.unique(codes, return_index=True)[1]] = True
        good = first & (pairs[:, 0] != pairs[:, 1]) & ~np.isin(codes, joined)
        if not good.any() and not _can_be_joined(stubs, joined, n):
            return None
        joined = np.concatenate([joined, codes[good]])
        stubs = pairs[~good].ravel()
    return np.stack([joined // n, joined % n], axis=1)


def _move(near: list[set[int]], peer: int, end: int, rng: np.random.Generator) -> None:
    """Move the far end of an edge to a random peer, in place; the peer should not hear all others."""
    new = end
    while new == peer or new in near[peer]:
        new = int(rng.integers(len(near)))
    near[peer].remove(end)
    near[end].remove(peer)
    near[peer].add(new)
    near[new].add(peer)


def _can_be_joined(stubs: Edges, joined: Edges, n: int) -> bool:
    """Whether two of the stubs belong to different peers that are no neighbours yet."""
    left = np.unique(stubs)
    one, other = np.triu_indices(len(left), 1)
    return bool((~np.isin(left[one] * n + left[other], joined)).any())


def _pairs_at(places: Edges, n: int) -> Edges:
    """The pairs (i, j) with i < j at these places of their list (0, 1), (0, 2), ..., (n - 2, n - 1)."""
    starts = np.concatenate([[0], np.cumsum(np.arange(n - 1, 0, -1))])
    one = np.searchsorted(starts, places, side="right") - 1
    return np.stack([one, places - starts[one] + one + 1], axis=1)


def _up(value: float) -> float:
    """A number that is not below the value, with two digits behind the point, or two that count."""
    step = 10.0 ** min(-2, math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / step) * step, 12)
