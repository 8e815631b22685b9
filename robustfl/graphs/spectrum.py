"""The spectrum of networks: how well they hold together, where they are cut, and how fast they mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.graphs.graph import Graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Vector = NDArray[np.float64]

DENSE = 1000
"""Up to so many peers, all eigenvalues are computed; beyond, only those that are asked for."""
EQUAL = 1e-8
"""Eigenvalues that differ by less, relative to the largest one, are taken to be one of several dimensions."""
VISIBLE = 1e-6
"""What a peer's number in a unit eigenvector exceeds, unless it is 0 up to rounding."""
SPARE = 2
"""How many more eigenvectors of a large network are computed than are asked for."""
PLAIN_STEPS = 60
"""How many restarts of the plain iteration are tried."""


def connectivity(graph: Graph) -> float:
    """The algebraic connectivity mu2: the second eigenvalue of the Laplacian D - A, 0 where the graph falls apart.

    Peers can stand about ``mu2/2`` malicious neighbours each, by any rule; expanders have a large one, chains of
    communities a small one. A directed graph is taken as the mean of both directions. One peer alone has 0.

    References: M. Fiedler. Algebraic connectivity of graphs. Czechoslovak Mathematical Journal, 1973.

    >>> round(connectivity(Graph(n=3, edges=[(0, 1), (1, 2)])), 6), connectivity(Graph(n=3, edges=[(0, 1)]))
    (1.0, 0.0)
    """
    return 0.0 if graph.n == 1 or graph.parts().any() else float(max(_lowest(graph, 1)[0][0], 0.0))


def fiedler(graph: Graph) -> Vector:
    """The Fiedler vector [n], of length 1: its signs tell the two sides of the network's weakest cut.

    Its sign is such that the first peer who is not 0 in it is positive. Where several vectors belong to the eigenvalue
    (as in a ring), it is the one of them that is largest at this peer, so that it does not depend on the machine.

    Raises ParameterError for a graph of one peer, and for one that is not connected.

    >>> fiedler(Graph(n=4, edges=[(0, 1), (1, 2), (2, 3)])).round(3).tolist()
    [0.653, 0.271, -0.271, -0.653]
    """
    return modes(graph, 1)[:, 0]


def modes(graph: Graph, count: int) -> Vector:
    """The first eigenvectors of the Laplacian after the constant one, [n, count], with the signs of :func:`fiedler`.

    Up to 1,000 peers, eigenvectors with equal eigenvalues are chosen by the same convention; beyond, only a few of the
    lowest ones are computed, by iteration.

    Raises ParameterError when the graph has not so many, or is not connected.
    """
    if not 0 < count < graph.n:
        raise ParameterError(f"A graph of {graph.n} peers has {graph.n - 1} eigenvectors to ask for. Found {count}.")
    if graph.parts().any():
        raise ParameterError("The eigenvectors of a graph need a connected one. Found one in parts. Take one part.")
    values, vectors = _lowest(graph, count)
    width = EQUAL * max(1.0, 2.0 * float(graph.degree.max()))
    found: list[Vector] = []
    while len(found) < count:
        start = len(found)
        basis = vectors[:, start : int(np.searchsorted(values, values[start] + width, side="right"))]
        while basis.shape[1] and len(found) < count:
            reach = np.linalg.norm(basis, axis=1)
            first = int(np.argmax(reach > VISIBLE))
            found.append(basis @ basis[first] / reach[first])
            basis = _rest(basis, basis[first] / reach[first])
    return np.stack(found, axis=1)


def spectral_gap(weights: csr_array) -> float:
    """1 minus the second largest absolute eigenvalue of mixing weights W, in [0, 1]; 1 for one peer alone.

    Differences between honest models shrink by the factor ``1 - gap`` with each mixing in the end.

    >>> from robustfl.graphs.weights import mixing_weights
    >>> ring = Graph(n=8, edges=[(peer, (peer + 1) % 8) for peer in range(8)])
    >>> round(spectral_gap(mixing_weights(ring)), 6)
    0.195262
    """
    n = weights.shape[0]
    if n == 1:
        return 1.0
    symmetric = abs(weights - weights.T).max() < EQUAL
    if n <= DENSE:
        dense = weights.toarray()
        sizes = np.abs(np.linalg.eigvalsh(dense) if symmetric else np.linalg.eigvals(dense))
    else:
        from scipy.sparse.linalg import eigs, eigsh

        start = np.random.default_rng(0).standard_normal(n)
        sizes = np.abs((eigsh if symmetric else eigs)(weights, k=2, which="LM", v0=start, return_eigenvectors=False))
    return float(np.clip(1.0 - np.sort(sizes)[-2], 0.0, 1.0))


def _lowest(graph: Graph, count: int) -> tuple[Vector, Vector]:
    """The lowest eigenvalues of a connected graph after the 0, ascending, and their eigenvectors [n, ...]."""
    from scipy.sparse.csgraph import laplacian

    arcs = graph.matrix.astype(np.float64)
    matrix = laplacian(((arcs + arcs.T) / 2).tocsr())
    largest = 2.0 * float(graph.degree.max())  # no eigenvalue is larger
    n = graph.n
    if n <= DENSE:
        values, vectors = np.linalg.eigh(matrix.toarray() + (largest + 1) / n)  # the constant vector becomes the last
        return values[: n - 1], vectors[:, : n - 1]
    return _iterated(matrix, count + SPARE, largest)


def _iterated(matrix: csr_array, count: int, largest: float) -> tuple[Vector, Vector]:
    """The lowest eigenvalues after the 0 of a large Laplacian.

    Expanders have a gap above 0, which the plain iteration finds; where there is none, the graph has small separators,
    and its Laplacian can be factorised with little fill-in.
    """
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    n = matrix.shape[0]
    start = np.random.default_rng(0).standard_normal(n)
    try:
        turned = largest * eye_array(n) - matrix
        values, vectors = eigsh(turned, k=count + 1, which="LA", v0=start, maxiter=PLAIN_STEPS, tol=EQUAL)
        values = largest - values
    except ArpackNoConvergence:
        values, vectors = eigsh(matrix.tocsc(), k=count + 1, sigma=-EQUAL, which="LM", v0=start)
    order = np.argsort(values)[1:]
    return values[order], vectors[:, order]


def _rest(basis: Vector, direction: Vector) -> Vector:
    """A basis [n, k - 1] of what is orthogonal to one direction [k] of a basis [n, k]."""
    whole, _ = np.linalg.qr(np.concatenate([direction[:, None], np.eye(len(direction))], axis=1))
    rotated: Vector = basis @ whole[:, 1:]
    return rotated
