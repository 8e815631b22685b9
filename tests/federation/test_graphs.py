"""Families of graphs: connected or refused, equal for equal seeds, and what each of them is by definition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl import registry
from robustfl.errors import DataError, ParameterError
from robustfl.federation.graphs import (
    Dumbbell,
    EdgeList,
    ErdosRenyi,
    Exponential,
    GraphFamily,
    OnePeerExponential,
    RandomGeometric,
    Regular,
    Torus,
    TwoCastle,
    TwoCliques,
    TwoWorlds,
    WattsStrogatz,
)
from robustfl.federation.graphs.sampled import Sampled
from robustfl.graphs.graph import Graph

FAMILIES: list[GraphFamily] = [
    registry.build("topology", name) for name in registry.find("topology") if name != "edges"
]


def drawn(family: GraphFamily, n: int, seed: int = 0, **options: Any) -> Graph:
    return family.draw(n, np.random.default_rng(seed), **options)


def known(graph: Graph) -> Any:
    made = networkx.Graph(graph.edges.tolist())
    made.add_nodes_from(range(graph.n))
    return made


def test_the_registry_knows_every_family() -> None:
    assert set(registry.find("topology")) == {
        *("ring", "chain", "star", "complete", "torus", "grid", "hypercube", "exponential", "one_peer_exponential"),
        *("regular", "erdos_renyi", "watts_strogatz", "random_geometric"),
        *("two_cliques", "dumbbell", "two_worlds", "two_castle", "edges", "sampled"),
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_one_peer_and_two_are_networks(family: GraphFamily) -> None:
    assert drawn(family, 1) == Graph(n=1, edges=[])
    assert drawn(family, 2) == Graph(n=2, edges=[(0, 1)])
    assert family.period(1) == family.period(2) == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("n", [16, 64])
def test_graphs_are_connected_and_repeat_with_their_seed(family: GraphFamily, n: int) -> None:
    graphs = [drawn(family, n, number=number) for number in range(family.period(n))]
    together = Graph(n=n, edges=np.unique(np.concatenate([graph.edges for graph in graphs]), axis=0), directed=True)
    assert Graph(n=n, edges=np.unique(np.sort(together.edges, axis=1), axis=0)).connected
    assert graphs[0] == drawn(family, n)
    assert family.random == (drawn(family, n, seed=1) != graphs[0])
    assert registry.build("topology", {family.name: family.parameters()}) == family


@pytest.mark.parametrize(
    ("name", "n", "wanted"),
    [
        ("ring", 7, networkx.cycle_graph(7)),
        ("chain", 7, networkx.path_graph(7)),
        ("star", 7, networkx.star_graph(6)),
        ("complete", 7, networkx.complete_graph(7)),
        ("hypercube", 16, networkx.hypercube_graph(4)),
        ("torus", 20, networkx.grid_2d_graph(4, 5, periodic=True)),
        ("torus", 6, networkx.grid_2d_graph(2, 3, periodic=True)),
        ("grid", 12, networkx.grid_2d_graph(3, 4)),
        ("grid", 3, networkx.path_graph(3)),
        ("dumbbell", 9, networkx.barbell_graph(4, 1)),
        ("two_cliques", 8, networkx.barbell_graph(4, 0)),
    ],
    ids=[
        "ring",
        "chain",
        "star",
        "complete",
        "hypercube",
        "torus",
        "small-torus",
        "grid",
        "row",
        "dumbbell",
        "cliques",
    ],
)
def test_fixed_graphs_are_those_of_another_library(name: str, n: int, wanted: Any) -> None:
    wanted.remove_edges_from(list(networkx.selfloop_edges(wanted)))
    assert networkx.is_isomorphic(known(drawn(registry.build("topology", name), n)), networkx.Graph(wanted))


def test_joined_graphs_by_their_degrees() -> None:
    assert drawn(TwoWorlds(q=3), 12).degree.tolist() == [8] * 12
    assert drawn(TwoWorlds(q=6), 12) == drawn(registry.build("topology", "complete"), 12)
    assert drawn(TwoCastle(), 12).degree.tolist() == [10] * 12
    assert sorted(drawn(TwoCliques(bridges=3), 9).degree.tolist()) == [3, 4, 4, 4, 4, 4, 5, 5, 5]
    assert drawn(Dumbbell(between=0), 8) == drawn(TwoCliques(), 8)
    assert drawn(Dumbbell(between=5), 7) == drawn(registry.build("topology", "chain"), 7)


@pytest.mark.parametrize("n", [3, 5, 8, 13, 16])
def test_exponential_rounds_together_are_the_exponential_graph(n: int) -> None:
    rounds = [drawn(OnePeerExponential(), n, number=number) for number in range(OnePeerExponential().period(n))]
    assert all((graph.degree == 1).all() for graph in rounds)
    edges = np.unique(np.concatenate([graph.edges for graph in rounds]), axis=0)
    assert Graph(n=n, edges=edges, directed=True) == drawn(Exponential(), n)
    assert drawn(OnePeerExponential(), n, number=len(rounds)) == rounds[0]


@pytest.mark.parametrize("n", [4, 16])
def test_one_period_of_halves_is_the_exact_mean_for_powers_of_two(n: int) -> None:
    product = np.eye(n)
    for number in range(OnePeerExponential().period(n)):
        heard = drawn(OnePeerExponential(), n, number=number).adjacency()
        product = (np.eye(n) + heard) / 2 @ product
    np.testing.assert_allclose(product, 1 / n)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 24), data=st.data())
def test_random_graphs_keep_what_they_promise(seed: int, n: int, data: st.DataObject) -> None:
    degree = data.draw(st.sampled_from([d for d in range(2, n) if n * d % 2 == 0 and (d > 2 or n < 6)] or [n - 1]))
    assert drawn(Regular(degree=degree), n, seed).degree.tolist() == [degree] * n
    even = data.draw(st.sampled_from(range(2, n, 2)))
    world = drawn(WattsStrogatz(degree=even, rewire=0.3), n, seed)
    assert len(world.edges) == n * even // 2
    geometric = drawn(RandomGeometric(max_degree=5), n, seed)
    assert geometric.degree.max() <= 5
    assert geometric.positions is not None


def test_rewiring_moves_its_share_of_edges() -> None:
    lattice = set(map(tuple, drawn(WattsStrogatz(rewire=0.0), 200).edges.tolist()))
    moved = set(map(tuple, drawn(WattsStrogatz(rewire=0.2), 200).edges.tolist()))
    assert 0.15 < len(lattice - moved) / len(lattice) < 0.25


def test_edges_appear_with_their_probability() -> None:
    count = sum(drawn(ErdosRenyi(p=0.3), 20, seed).adjacency().astype(float) for seed in range(400)) / 400
    off = count[~np.eye(20, dtype=bool)]
    assert off.mean() == pytest.approx(0.3, abs=0.01)
    assert (np.abs(off - 0.3) < 0.12).all(), "no pair is preferred"
    assert drawn(ErdosRenyi(p=1.0), 9) == drawn(registry.build("topology", "complete"), 9)


def test_every_small_regular_graph_is_found() -> None:
    """There are 4!/2 = 12 rings of 5 peers with names, and none of them is rare."""
    found: dict[str, int] = {}
    for seed in range(300):
        digest = drawn(Regular(degree=2), 5, seed).digest
        found[digest] = found.get(digest, 0) + 1
    assert len(found) == 12
    assert min(found.values()) > 10


@pytest.mark.parametrize("n", [30, 99])
def test_geometric_networks_are_connected_without_a_radius(n: int) -> None:
    assert all(drawn(RandomGeometric(), n, seed).connected for seed in range(20))


@pytest.mark.parametrize(
    ("family", "n", "message"),
    [
        (RandomGeometric(radius=0.12), 30, r"^radius 0.12 gave \d+ to \d+ parts for 30 peers; 0.35 or more"),
        (RandomGeometric(radius=0.9, max_degree=2), 40, "radius 0.9 gave .* use `max_degree: 3` or more"),
        (ErdosRenyi(p=0.01), 30, r"p 0.01 gave \d+ to \d+ parts for 30 peers; 0.18 or more"),
        (Regular(degree=1), 30, "degree 1 gave 15 parts for 30 peers; 3 or more"),
        (Regular(degree=8), 8, "degree < clients. Found degree=8, clients=8. Use 7 or fewer"),
        (Regular(degree=3), 5, "should be even. Found degree=3, clients=5. Use `degree: 4`"),
        (Torus(), 7, "a prime number. Use 6 or 8 clients, or `rows: 1`"),
        (Torus(rows=4), 10, "`rows` should divide 10.* Found 4. Use 1, 2, 5, 10"),
        (registry.build("topology", "hypercube"), 12, "a power of two. Found 12. Use 8 or 16"),
        (TwoCliques(bridges=5), 9, "bridges <= 4, half of 9 clients. Found bridges=5"),
        (TwoWorlds(q=6), 10, "q <= 5, half of 10 clients. Found q=6"),
        (TwoCastle(), 9, "should be even.* Found 9. Use 8 or 10"),
        (Dumbbell(between=4), 5, "between <= clients - 2. Found between=4, clients=5"),
        (WattsStrogatz(), 6, "degree < clients. Found degree=6, clients=6"),
        (Sampled(size=2, aggregators=9), 8, "aggregators <= clients. Found size=2, aggregators=9 for 8 peers"),
        (Sampled(), 8, "size <= clients.* Found size=10, aggregators=1 for 8 peers"),
        (Torus(), 0, "clients >= 1. Found 0"),
    ],
    ids=lambda value: value.name if isinstance(value, GraphFamily) else None,
)
def test_what_has_no_connected_graph_is_refused_with_a_remedy(family: GraphFamily, n: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        drawn(family, n)


def test_the_remedy_helps() -> None:
    assert drawn(RandomGeometric(radius=0.35), 30).connected
    assert drawn(ErdosRenyi(p=0.18), 30).connected


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("watts_strogatz", {"degree": 3}, "`degree` should be even. Found degree=3"),
        ("watts_strogatz", {"rewire": 1.5}, "rewire <= 1"),
        ("erdos_renyi", {"p": 0}, "p > 0"),
        ("random_geometric", {"radius": float("nan")}, "`radius` should be"),
        ("random_geometric", {"max_degree": 1}, "max_degree >= 2"),
        ("two_worlds", {"q": 0}, "q >= 1"),
        ("ring", {"degree": 2}, "no parameter 'degree'"),
        ("edges", {}, "needs `file`"),
    ],
)
def test_wrong_parameters_are_errors(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        registry.build("topology", {name: wrong})


@dataclass(frozen=True, kw_only=True)
class Broken(GraphFamily):
    """Never connected."""

    random: ClassVar[bool] = True

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        rng.random()
        return Graph(n=clients, edges=[])


def test_a_graph_is_drawn_a_hundred_times() -> None:
    rng, counter = np.random.default_rng(0), np.random.default_rng(0)
    with pytest.raises(ParameterError, match="Broken gave 5 parts for 5 peers"):
        Broken().draw(5, rng)
    counter.random(100)
    assert rng.random() == counter.random()


def read(folder: Path, text: str | bytes, clients: int = 4) -> Graph:
    (folder / "net.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return drawn(EdgeList(file="net.csv"), clients, root=folder)


def test_edges_are_read_from_a_file(tmp_path: Path) -> None:
    wanted = Graph(n=4, edges=[(0, 1), (1, 2), (2, 3)])
    assert read(tmp_path, "0,1\n1,2\n2,3\n") == wanted
    assert read(tmp_path, "\ufefffrom,to\r\n 1 , 0\r\n\r\n2,1\r\n1,2\r\n3,2") == wanted, "both directions are one edge"
    assert read(tmp_path, "0,1", clients=2) == Graph(n=2, edges=[(0, 1)])
    assert read(tmp_path, "", clients=1) == Graph(n=1, edges=[])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("0,1\n2,3", ParameterError, "file 'net.csv' gave 2 parts for 4 peers; add edges"),
        ("", ParameterError, "4 parts for 4 peers"),
        ("0,1\n1,4", DataError, "line 2 should name peers 0 to 3. Found '1,4'.* if the file counts them from 1"),
        ("0,1\n1,99999999999999999999999", DataError, "line 2 should name peers 0 to 3"),
        ("0,1\n1;2", DataError, "line 2 should be two numbers of peers.* Put a comma between the two"),
        ("0 1\n1 2", DataError, "line 1 should be .* Found '0 1'. Put a comma between the two"),
        ("0,1,0.5", DataError, "line 1 should be .* Leave weights out"),
        ("a,b\nb,c", DataError, "line 2 should be .* Peers have numbers here, and no names"),
        ("0,1\n-1,2", DataError, "line 2 should be two numbers"),
        ("0,1,2", DataError, "line 1 should be two numbers"),
        ("0,1\n1,²", DataError, "line 2 should be two numbers"),
        ("0,1\n1,1.5", DataError, "line 2 should be two numbers"),
        ("0,1\n2,2", DataError, "line 2 should join two different peers. Found '2,2'. Leave it out"),
        (b"\xff\xfe0,1", DataError, "a text in UTF-8"),
    ],
    ids=[
        "parts",
        "empty",
        "large",
        "huge",
        "semicolon",
        "space",
        "weight",
        "names",
        "negative",
        "three",
        "digit",
        "fraction",
        "loop",
        "bytes",
    ],
)
def test_wrong_files_are_errors(tmp_path: Path, text: str | bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["../net.csv", "/etc/passwd", "C:\\net.csv", "missing.csv"])
def test_files_are_in_the_data_root_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "net.csv").write_text("0,1")
    with pytest.raises(DataError):
        drawn(EdgeList(file=name), 2, root=tmp_path / "inner")
