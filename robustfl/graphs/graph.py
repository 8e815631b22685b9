"""The graph of a network of peers: who hears whom."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Nodes = NDArray[np.int64]
Edges = NDArray[np.int64]
Points = NDArray[np.float64]
_Array = TypeVar("_Array", bound=NDArray[Any])

UNREACHED = -1
"""The number of hops to a peer that no path reaches."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Graph:
    """Which of n peers are neighbours; the value is checked once, and never changes.

    In an undirected graph both ends of an edge hear each other. In a directed one, the first peer of an edge hears the
    second. Two graphs are equal if they have the same peers, edges and positions, and then have the same
    :attr:`digest` on every machine.

    Cost: memory O(n + m) for m edges.

    Parameters
    ----------
    n : number of peers, >= 1; they are 0 to n - 1
    edges : [m, 2] integers: pairs of different peers, each pair once (in one direction, if the graph is undirected), in
        any order
    positions : [n, 2] finite coordinates; None if the peers have no place
    directed : whether who hears need not be heard

    Raises
    ------
    ParameterError : there are no such peers, an edge is a loop or stands there twice, or a number is out of range

    Examples
    --------
    >>> graph = Graph(n=4, edges=[(2, 1), (0, 1), (2, 3)])
    >>> graph.edges.tolist(), graph.degree.tolist()
    ([[0, 1], [1, 2], [2, 3]], [1, 2, 2, 1])
    >>> graph.neighbours(1).tolist(), graph.hops([0]).tolist(), graph.connected
    ([0, 2], [0, 1, 2, 3], True)
    >>> Graph(n=4, edges=[(0, 1)]).parts().tolist()
    [0, 0, 1, 2]
    >>> Graph(n=2, edges=[(0, 5)])
    Traceback (most recent call last):
    ...
    robustfl.errors.ParameterError: Graph: `edges` should join peers 0 to 1. Found the edge 0-5.
    """

    n: int
    edges: Edges
    positions: Points | None = None
    directed: bool = False

    def __init__(self, *, n: int, edges: ArrayLike, positions: ArrayLike | None = None, directed: bool = False) -> None:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ParameterError(f"Graph: `n` should be an integer >= 1, the number of peers. Found n={n!r}.")
        object.__setattr__(self, "n", int(n))
        object.__setattr__(self, "directed", bool(directed))
        object.__setattr__(self, "edges", _checked_edges(edges, int(n), bool(directed)))
        object.__setattr__(self, "positions", None if positions is None else _checked_positions(positions, int(n)))

    @classmethod
    def of_matrix(cls, matrix: ArrayLike, positions: ArrayLike | None = None) -> Graph:
        """The undirected graph of a symmetric matrix [n, n] of 0 and 1 (or of booleans); its diagonal is ignored.

        Raises ParameterError when the matrix is none, or is not symmetric.

        >>> Graph.of_matrix([[0, 1], [1, 0]]).edges.tolist()
        [[0, 1]]
        """
        found = np.asarray(matrix)
        if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
            raise ParameterError(
                f"`graph` should be square, [N, N] with N >= 1. Found shape {list(found.shape)}. Give a row and a "
                "column to each node."
            )
        if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
            raise ParameterError("`graph` should hold 0 and 1, or booleans. It does not. Use graph != 0 for weights.")
        if (found != found.T).any():
            raise ParameterError(
                "`graph` should be symmetric. It is not. Use graph | graph.T where one direction is enough."
            )
        return cls(n=len(found), edges=np.argwhere(np.triu(found, 1)), positions=positions)

    @cached_property
    def matrix(self) -> csr_array:
        """The sparse boolean matrix [n, n]: row i marks whom peer i hears, with ascending columns."""
        from scipy.sparse import csr_array

        ends = self.edges if self.directed else np.concatenate([self.edges, self.edges[:, ::-1]])
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        starts = np.concatenate([[0], np.cumsum(np.bincount(ends[:, 0], minlength=self.n))])
        return csr_array((np.ones(len(ends), dtype=np.bool_), ends[order, 1], starts), shape=(self.n, self.n))

    def neighbours(self, peer: int) -> Nodes:
        """The peers that a peer hears, ascending."""
        starts = self.matrix.indptr
        found: Nodes = self.matrix.indices[starts[peer] : starts[peer + 1]].astype(np.int64)
        return found

    @cached_property
    def degree(self) -> Nodes:
        """How many neighbours each peer hears, [n]."""
        counted: Nodes = np.diff(self.matrix.indptr).astype(np.int64)
        return _frozen(counted)

    def adjacency(self) -> NDArray[np.bool_]:
        """The matrix as a dense array [n, n] of booleans; O(n^2) memory."""
        dense: NDArray[np.bool_] = self.matrix.toarray()
        return dense

    def parts(self) -> Nodes:
        """The number of the connected part that each peer is in, [n]; parts count from 0 in order of their first peer.

        In a directed graph, peers of one part reach each other in both directions.
        """
        from scipy.sparse.csgraph import connected_components

        _, labels = connected_components(self.matrix, directed=self.directed, connection="strong")
        _, first, number = np.unique(labels, return_index=True, return_inverse=True)
        rank: Nodes = np.argsort(np.argsort(first))[number].astype(np.int64)
        return rank

    @property
    def connected(self) -> bool:
        """Whether what any peer sends reaches every other peer in the end."""
        return not self.parts().any()

    def hops(self, sources: Sequence[int] | Nodes) -> Nodes:
        """How many hops what the nearest source sends needs to each peer, [n]; -1 for whom it never reaches."""
        from scipy.sparse.csgraph import dijkstra

        given = np.asarray(sources, dtype=np.int64)
        if not given.size:
            return np.full(self.n, UNREACHED)
        far = dijkstra(self.matrix.T.astype(np.float64), unweighted=True, indices=given, min_only=True)
        return np.where(np.isfinite(far), far, UNREACHED).astype(np.int64)

    def without(self, peers: Sequence[int] | Nodes) -> tuple[Graph, Nodes]:
        """The graph of all other peers, who are numbered anew, and their numbers in this graph.

        Raises ParameterError when nobody is left.

        >>> rest, numbers = Graph(n=4, edges=[(0, 1), (1, 2), (2, 3)]).without([1])
        >>> rest.edges.tolist(), numbers.tolist()
        ([[1, 2]], [0, 2, 3])
        """
        kept = np.setdiff1d(np.arange(self.n), np.asarray(peers, dtype=np.int64))
        if not len(kept):
            raise ParameterError(f"A graph needs a peer. Found nobody left of {self.n}. Take away fewer peers.")
        renamed = np.full(self.n, UNREACHED)
        renamed[kept] = np.arange(len(kept))
        ends = renamed[self.edges]
        places = None if self.positions is None else self.positions[kept]
        edges = ends[(ends != UNREACHED).all(axis=1)]
        return Graph(n=len(kept), edges=edges, positions=places, directed=self.directed), kept

    @cached_property
    def digest(self) -> str:
        """A hash of the content, for fingerprints: 16 hexadecimal digits."""
        content = hashlib.sha256(f"{self.n} {self.directed} {len(self.edges)}".encode())
        content.update(self.edges.astype("<i8").tobytes())
        if self.positions is not None:
            content.update(self.positions.astype("<f8").tobytes())
        return content.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        kind = "directed " if self.directed else ""
        return f"<{kind}graph of {self.n} peers with {len(self.edges)} edges, {self.digest}>"


def _checked_edges(given: ArrayLike, n: int, directed: bool) -> Edges:
    """The edges as a sorted array [m, 2] that nobody can change."""
    try:
        found: NDArray[Any] = np.asarray(given)
    except ValueError:
        raise ParameterError(
            "Graph: `edges` should be pairs of integers, [m, 2]. Found rows of many lengths."
        ) from None
    if not found.size:
        return _frozen(np.empty((0, 2), dtype=np.int64))
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise ParameterError(
            f"Graph: `edges` should be pairs of integers, [m, 2]. Found {found.dtype} of shape {list(found.shape)}."
        )
    outside = found[((found < 0) | (found >= n)).any(axis=1)]
    if len(outside):
        raise ParameterError(f"Graph: `edges` should join peers 0 to {n - 1}. Found the edge {_told(outside[0])}.")
    edges = found.astype(np.int64)
    loops = edges[edges[:, 0] == edges[:, 1]]
    if len(loops):
        raise ParameterError(f"Graph: `edges` should join different peers. Found the edge {_told(loops[0])}.")
    if not directed:
        edges = np.sort(edges, axis=1)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    twice = edges[1:][(edges[1:] == edges[:-1]).all(axis=1)]
    if len(twice):
        raise ParameterError(f"Graph: `edges` should hold each edge once. Found the edge {_told(twice[0])} again.")
    return _frozen(edges)


def _checked_positions(given: ArrayLike, n: int) -> Points:
    try:
        found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError("Graph: `positions` should be numbers, [n, 2]. They are not.") from None
    if found.shape != (n, 2) or not np.isfinite(found).all():
        raise ParameterError(
            f"Graph: `positions` should be finite, [n, 2] with n={n}. Found shape {list(found.shape)}, "
            f"{int((~np.isfinite(found)).sum())} numbers that are not finite."
        )
    return _frozen(found)


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array


def _told(edge: Edges) -> str:
    return f"{int(edge[0])}-{int(edge[1])}"
