"""The graph as a value: what it refuses, who is whose neighbour, how far, and in which part."""

from __future__ import annotations

import pickle
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.graphs.geometric import geometric_network, usual_radius
from robustfl.graphs.graph import Graph

TRIANGLES = Graph(n=6, edges=[(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)])


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n, directed = draw(st.integers(1, 12)), draw(st.booleans())
    pairs = [(one, two) for one in range(n) for two in range(n) if one < two or (directed and one != two)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(n=n, edges=chosen, directed=directed)


def oracle(graph: Graph) -> Any:
    """The same graph in another library, where an edge leads from who hears to who is heard."""
    made = networkx.DiGraph() if graph.directed else networkx.Graph()
    made.add_nodes_from(range(graph.n))
    made.add_edges_from(map(tuple, graph.edges.tolist()))
    return made


@settings(deadline=None, max_examples=60)
@given(graphs(), st.data())
def test_neighbours_parts_and_hops_are_those_of_another_library(graph: Graph, data: st.DataObject) -> None:
    other = oracle(graph)
    for peer in range(graph.n):
        assert graph.neighbours(peer).tolist() == sorted(other.adj[peer])
    assert graph.degree.tolist() == [len(other.adj[peer]) for peer in range(graph.n)]
    np.testing.assert_array_equal(graph.adjacency(), networkx.to_numpy_array(other) > 0)
    found = networkx.strongly_connected_components if graph.directed else networkx.connected_components
    wanted = sorted(sorted(part) for part in found(other))
    parts = graph.parts()
    assert sorted(np.flatnonzero(parts == part).tolist() for part in set(parts.tolist())) == wanted
    assert graph.connected == (len(wanted) == 1)
    sources = data.draw(st.lists(st.integers(0, graph.n - 1), unique=True))
    sent = other.reverse() if graph.directed else other
    far = networkx.multi_source_dijkstra_path_length(sent, set(sources)) if sources else {}
    assert graph.hops(sources).tolist() == [far.get(peer, -1) for peer in range(graph.n)]


def test_the_content_alone_decides_what_is_equal() -> None:
    again = Graph(n=6, edges=TRIANGLES.edges[::-1, ::-1].tolist())
    assert again == TRIANGLES
    assert (hash(again), again.digest) == (hash(TRIANGLES), TRIANGLES.digest)
    assert pickle.loads(pickle.dumps(TRIANGLES)) == TRIANGLES
    others = [
        Graph(n=7, edges=TRIANGLES.edges),
        Graph(n=6, edges=TRIANGLES.edges[1:]),
        Graph(n=6, edges=TRIANGLES.edges, directed=True),
        Graph(n=6, edges=TRIANGLES.edges, positions=np.zeros((6, 2))),
    ]
    assert len({TRIANGLES.digest, *(other.digest for other in others)}) == 5
    assert TRIANGLES.digest == "3999eb583d850379", "the same on every machine"


def test_nobody_changes_a_graph() -> None:
    graph = Graph(n=3, edges=[(0, 1)], positions=np.zeros((3, 2)))
    assert graph.positions is not None
    for array in (graph.edges, graph.positions, graph.degree):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_given_array_stays_the_callers_own() -> None:
    edges, places = np.array([[0, 1]]), np.zeros((2, 2))
    graph = Graph(n=2, edges=edges, positions=places)
    edges[:], places[:] = 0, 7
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.positions is not None
    assert not graph.positions.any()
    edges[:] = places[:] = 1
    assert edges.flags.writeable
    assert places.flags.writeable


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, r"`n` should be an integer >= 1.* Found n=0"),
        ({"n": True}, "Found n=True"),
        ({"n": 2.0}, r"Found n=2\.0"),
        ({"edges": [(0, 3)]}, "join peers 0 to 2. Found the edge 0-3"),
        ({"edges": [(-1, 0)]}, "Found the edge -1-0"),
        ({"edges": [(1, 1)]}, "join different peers. Found the edge 1-1"),
        ({"edges": [(0, 1), (1, 0)]}, "each edge once. Found the edge 0-1 again"),
        ({"edges": [(0.0, 1.0)]}, r"pairs of integers, \[m, 2\]. Found float64"),
        ({"edges": [(0, 1, 2)]}, r"Found int64 of shape \[1, 3\]"),
        ({"edges": np.array([(2**63, 0)], dtype=np.uint64)}, "Found the edge 9223372036854775808-0"),
        ({"edges": [(0, 1), (2,)]}, "Found rows of many lengths"),
        ({"positions": [(0, 0)]}, r"\[n, 2\] with n=3. Found shape \[1, 2\]"),
        ({"positions": [(0, 0), (0, 1), (0, float("nan"))]}, "1 numbers that are not finite"),
        ({"positions": "here"}, "should be numbers"),
    ],
)
def test_what_is_no_graph_is_an_error(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Graph(**({"n": 3, "edges": []} | given))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), r"square, \[N, N\] with N >= 1. Found shape \[2, 3\]"),
        ([[0, 1], [0, 0]], "symmetric"),
        ([[0, 2], [2, 0]], "0 and 1"),
    ],
    ids=["ragged", "one direction", "weights"],
)
def test_what_is_no_matrix_of_a_graph_is_an_error(matrix: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Graph.of_matrix(matrix)


def test_matrices_come_back() -> None:
    matrix = TRIANGLES.adjacency()
    assert Graph.of_matrix(matrix | np.eye(6, dtype=bool)) == TRIANGLES
    assert Graph.of_matrix(matrix.astype(float).tolist()) == TRIANGLES


def test_peers_leave() -> None:
    rest, numbers = TRIANGLES.without([2, 3])
    assert (rest.n, rest.edges.tolist(), numbers.tolist()) == (4, [[0, 1], [2, 3]], [0, 1, 4, 5])
    assert TRIANGLES.without([])[0] == TRIANGLES
    with pytest.raises(ParameterError, match="Found nobody left of 6"):
        TRIANGLES.without(range(6))


@pytest.mark.parametrize("seed", range(5))
def test_a_sparse_search_of_bridges_keeps_networks_whole(seed: int) -> None:
    """The thinned network has the parts of the whole one, as long as nobody is forced to give up a bridge."""
    rng = np.random.default_rng(seed)
    points, whole = geometric_network(150, 0.15, 150, np.random.default_rng(seed))
    again, thinned = geometric_network(150, 0.15, 6, np.random.default_rng(seed))
    np.testing.assert_array_equal(points, again)
    np.testing.assert_array_equal(points, rng.random((150, 2)))
    assert len(thinned) < len(whole)
    assert Graph(n=150, edges=thinned).parts().tolist() == Graph(n=150, edges=whole).parts().tolist()


def test_the_usual_radius_is_the_published_one_for_99_peers() -> None:
    assert usual_radius(99) == 0.2
    assert usual_radius(30) > 0.3 > 0.1 > usual_radius(1000)
