"""Mixing weights: with which weight each peer takes the model of each neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np
from annotated_types import Ge

from robustfl.components import checked
from robustfl.errors import ParameterError
from robustfl.graphs.fastest import fastest_weights
from robustfl.graphs.graph import Graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weighting = Literal["metropolis", "uniform", "max_degree", "fastest"]


def mixing_weights(graph: Graph, weighting: Weighting = "metropolis", *, spare: int = 0) -> csr_array:
    """The matrix W of mixing weights: peer i replaces its model by ``sum_j W_ij x_j``, with its own model among them.

    With the numbers of neighbours d and `spare` places s for malicious neighbours, the weights of edges are

    * ``metropolis``: ``1/(1 + s + max(d_i, d_j))``,
    * ``max_degree``: ``1/(1 + s + max_k d_k)``,
    * ``uniform``: ``1/(1 + s + d_i)``, the plain mean of the peer's neighbourhood for s = 0,
    * ``fastest``: the symmetric weights that mix fastest, see :func:`~robustfl.graphs.fastest.fastest_weights`.

    The own weight is what is left to 1. Rows sum to 1. Columns do so as well, and the mean of all models stays what it
    is, except for ``uniform`` where peers have different numbers of neighbours.

    Shapes: a graph of n peers -> a sparse matrix [n, n], whose diagonal is always stored.

    Cost: O(n + m) for m edges; ``fastest`` solves a semidefinite programme.

    Raises
    ------
    ParameterError : there is no such weighting, `spare` is negative, or the graph does not fit the weighting

    References
    ----------
    L. Xiao, S. Boyd. Fast linear iterations for distributed averaging. Systems & Control Letters, 2004.

    Examples
    --------
    >>> chain = Graph(n=3, edges=[(0, 1), (1, 2)])
    >>> mixing_weights(chain).toarray().round(3).tolist()
    [[0.667, 0.333, 0.0], [0.333, 0.333, 0.333], [0.0, 0.333, 0.667]]
    >>> mixing_weights(chain, "uniform").toarray().round(3).tolist()
    [[0.5, 0.5, 0.0], [0.333, 0.333, 0.333], [0.0, 0.5, 0.5]]
    """
    from scipy.sparse import csr_array

    weighting = checked(weighting, Weighting, (), "mixing_weights", "weighting")
    spare = checked(spare, int, (Ge(0),), "mixing_weights", "spare")
    if weighting == "fastest":
        if spare:
            raise ParameterError(
                f"mixing_weights: the fastest weights leave no spare places. Found spare={spare}. Use metropolis."
            )
        return fastest_weights(graph)
    heard = graph.matrix.indices
    hearers = np.repeat(np.arange(graph.n), graph.degree)
    degree = graph.degree + spare
    match weighting:
        case "metropolis":
            if graph.directed and len(set(graph.degree.tolist())) > 1:
                raise ParameterError(
                    "mixing_weights: metropolis weights need a graph in which who hears is heard. Found a directed "
                    "graph with different numbers of neighbours. Use uniform."
                )
            values = 1.0 / (1 + np.maximum(degree[hearers], degree[heard]))
        case "max_degree":
            values = np.full(len(heard), 1.0 / (1 + degree.max()))
        case "uniform":
            values = 1.0 / (1 + degree[hearers])
        case _:
            assert_never(weighting)
    own = 1.0 - np.bincount(hearers, weights=values, minlength=graph.n)
    peers = np.arange(graph.n)
    rows, columns = np.concatenate([hearers, peers]), np.concatenate([heard, peers])
    order = np.lexsort((columns, rows))
    starts = np.concatenate([[0], np.cumsum(graph.degree + 1)])
    return csr_array((np.concatenate([values, own])[order], columns[order], starts), shape=(graph.n, graph.n))
