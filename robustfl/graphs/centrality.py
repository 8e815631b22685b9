"""How many shortest paths of a network lead through each peer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustfl.graphs.graph import Graph

MOST_EXACT = 2000
"""The largest network in which the paths from all peers are counted."""
SAMPLED = 500
"""The number of peers whose paths stand for those from all in larger networks."""


def betweenness(graph: Graph, rng: np.random.Generator | None = None) -> NDArray[np.float64]:
    """The betweenness of each peer: ``sum_{s != t} (shortest paths from s to t through it)/(all shortest paths)``, [n].

    The ends of paths do not count. Every pair of peers counts in both directions.

    Cost: O(n (n + m)) for m edges. Above 2,000 peers, 500 random peers s stand for all.

    Parameters
    ----------
    graph : the network
    rng : where the choice of these peers comes from; the seed 0 if not given

    References
    ----------
    U. Brandes. A faster algorithm for betweenness centrality. Journal of Mathematical Sociology, 2001.

    Examples
    --------
    >>> betweenness(Graph(n=3, edges=[(0, 1), (1, 2)])).tolist()
    [0.0, 2.0, 0.0]
    """
    heard_by = graph.matrix.T.tocsr()
    heard_by.sort_indices()
    ends, starts = heard_by.indices.tolist(), heard_by.indptr.tolist()
    near = [ends[starts[peer] : starts[peer + 1]] for peer in range(graph.n)]
    sources = np.arange(graph.n)
    if graph.n > MOST_EXACT:
        sources = (rng or np.random.default_rng(0)).choice(graph.n, size=SAMPLED, replace=False)
    total = np.zeros(graph.n)
    for source in sources.tolist():
        total += _dependencies(near, source)
    return total * (graph.n / len(sources))


def _dependencies(near: list[list[int]], source: int) -> NDArray[np.float64]:
    """For each peer, the sum over all targets of the share of shortest paths from the source that lead through it."""
    n = len(near)
    hops, paths = [-1] * n, [0.0] * n
    hops[source], paths[source] = 0, 1.0
    order = [source]
    for peer in order:  # it grows while it is read
        for end in near[peer]:
            if hops[end] < 0:
                hops[end] = hops[peer] + 1
                order.append(end)
            if hops[end] == hops[peer] + 1:
                paths[end] += paths[peer]
    through = [0.0] * n
    for peer in reversed(order):
        for end in near[peer]:
            if hops[end] == hops[peer] + 1:
                through[peer] += paths[peer] / paths[end] * (1.0 + through[end])
    through[source] = 0.0
    return np.array(through)
