"""The symmetric weights with which a network of peers mixes fastest."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import MissingExtraError, ParameterError
from robustfl.graphs.graph import Graph
from robustfl.graphs.spectrum import spectral_gap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_PEERS = 100
"""The largest network whose semidefinite programme is solved."""
MOST_EXACT = 50
"""Up to so many peers an interior point method finds the optimum; beyond, a first-order method comes near to it."""
TOLERANCE = 1e-6
MOST_STEPS = 3000
"""The accuracy and the steps of the first-order method; its weights are feasible whatever they are."""


def fastest_weights(graph: Graph) -> csr_array:
    """The symmetric mixing weights with the largest spectral gap, [n, n].

    Formula: minimise ``|W - J|_2`` over symmetric ``W >= 0`` with rows that sum to 1 and that are 0 where the graph has
    no edge, where J has 1/n everywhere. It is the fastest mixing Markov chain of the graph whose distribution is
    uniform in the end.

    Method: one weight per edge, ``W = I - sum_e w_e L_e``, in a semidefinite programme. Rows and columns therefore sum
    to 1 whatever the solver's tolerance. Above 50 peers, the solver is stopped after 3,000 steps near the optimum, and
    its answer is only taken if it is faster than Metropolis and max-degree weights.

    Cost: a few seconds for 50 peers, and 3,000 eigenvalue decompositions O(n^3) at most beyond. More than 100 peers are
    refused.

    Raises
    ------
    ParameterError : the graph is directed, is not connected or has more than 100 peers, or the solver finds no answer
    MissingExtraError : cvxpy is not installed

    References
    ----------
    S. Boyd, P. Diaconis, L. Xiao. Fastest Mixing Markov Chain on a Graph. SIAM Review, 2004.

    Examples
    --------
    >>> square = Graph(n=4, edges=[(0, 1), (1, 2), (2, 3), (0, 3)])
    >>> fastest_weights(square).toarray().round(3).tolist()[0]
    [0.333, 0.333, 0.0, 0.333]
    """
    n, edges = graph.n, graph.edges
    if graph.directed:
        raise ParameterError("The fastest weights need an undirected graph. Found a directed one. Use uniform weights.")
    if n > MOST_PEERS:
        raise ParameterError(
            f"The fastest weights are found by a semidefinite programme, for at most {MOST_PEERS} peers. Found {n}. "
            "Use metropolis weights."
        )
    if not graph.connected:
        raise ParameterError("The fastest weights need a connected graph. Found one that is not. Add edges.")
    larger = graph.degree[edges].max(axis=1) if len(edges) else np.empty(0)
    choices = [1.0 / (1.0 + larger), np.full(len(edges), 1.0 / (1.0 + graph.degree.max()))]
    if len(edges):
        choices.append(_solved(graph))
    return max((_matrix(graph, weights) for weights in choices), key=spectral_gap)


def _matrix(graph: Graph, weights: NDArray[np.float64]) -> csr_array:
    """The mixing weights [n, n] from the weight of each edge, [m]."""
    from scipy.sparse import csr_array

    n, edges = graph.n, graph.edges
    ends = np.concatenate([edges, edges[:, ::-1]])
    total = np.bincount(ends[:, 0], weights=np.tile(weights, 2), minlength=n)
    peers = np.arange(n)
    values = np.concatenate([np.tile(weights, 2), 1.0 - total])
    places = (np.concatenate([ends[:, 0], peers]), np.concatenate([ends[:, 1], peers]))
    found = csr_array((values, places), shape=(n, n))
    found.sort_indices()
    return found


def _solved(graph: Graph) -> NDArray[np.float64]:
    """The weight of each edge, [m]."""
    cp = _cvxpy()
    n, m = graph.n, len(graph.edges)
    incidence = np.zeros((n, m))
    incidence[graph.edges[:, 0], np.arange(m)], incidence[graph.edges[:, 1], np.arange(m)] = 1.0, -1.0
    w, slowest = cp.Variable(m, nonneg=True), cp.Variable()
    mixed = np.eye(n) - incidence @ cp.diag(w) @ incidence.T - np.full((n, n), 1 / n)
    limits = [slowest * np.eye(n) - mixed >> 0, slowest * np.eye(n) + mixed >> 0, np.abs(incidence) @ w <= 1]
    problem = cp.Problem(cp.Minimize(slowest), limits)
    if n <= MOST_EXACT:
        problem.solve(solver=cp.CLARABEL)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Solution may be inaccurate")  # it is compared with other weights
            problem.solve(solver=cp.SCS, eps=TOLERANCE, max_iters=MOST_STEPS)
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE) or w.value is None:
        raise ParameterError(
            f"The semidefinite programme for the fastest weights should have an answer. The solver found none "
            f"({problem.status}). Use metropolis weights."
        )
    weights: NDArray[np.float64] = np.maximum(w.value, 0.0)
    return weights / max(1.0, float((np.abs(incidence) @ weights).max()))


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError:
        raise MissingExtraError(
            "The fastest weights are found by a semidefinite programme that needs cvxpy, which is not installed. "
            "Run pip install 'robustfl[privacy]', or use metropolis weights."
        ) from None
    return cvxpy
