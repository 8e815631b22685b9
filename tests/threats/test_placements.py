"""Placements: who is chosen, who is joined, and how a placement stands before the rest of an attack."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl import registry
from robustfl.attacks import (
    IPM,
    Attached,
    BadNets,
    Betweenness,
    Clones,
    Connectivity,
    Cut,
    Degree,
    LabelFlip,
    ModelReplacement,
    RandomPeers,
    SignFlip,
    Spread,
)
from robustfl.errors import AttackError, ParameterError, ScenarioError
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.federation.graphs import Chain, Complete, ErdosRenyi, Exponential, Regular, Ring, Star, WattsStrogatz
from robustfl.graphs.exposure import exposure
from robustfl.graphs.graph import Graph
from robustfl.graphs.spectrum import connectivity
from robustfl.threats import Knowledge, Placement
from robustfl.threats.peers.placement import place_sybils, sybils_needed
from robustfl.threats.placement import placed

TRIANGLES = Graph(n=6, edges=[(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)])
CHOOSING: list[Placement] = [RandomPeers(), Cut(), Betweenness(), Spread(), Degree(), Connectivity()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def chosen(placement: Placement, graph: Graph, f: int, seed: int = 0) -> list[int]:
    found: list[int] = placement.choose(graph, f, rng(seed)).tolist()
    return found


@pytest.mark.parametrize(("f", "wanted"), [(1, [2]), (2, [2, 3])])
@pytest.mark.parametrize("placement", [Cut(), Betweenness(), Degree()], ids=lambda placement: placement.name)
def test_the_ends_of_a_bridge_are_taken(placement: Placement, f: int, wanted: list[int]) -> None:
    assert chosen(placement, TRIANGLES, f) == wanted


def test_the_first_peers_of_connectivity_and_spread() -> None:
    assert chosen(Connectivity(), TRIANGLES, 1) == [2]
    assert chosen(Connectivity(), Chain().draw(7, rng()), 2) == [3, 1]
    assert chosen(Spread(), Chain().draw(9, rng()), 3) == [1, 8, 4]
    assert chosen(Spread(), Star().draw(6, rng()), 2) == [0, 1]


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 14), data=st.data())
def test_every_placement_chooses_different_peers(seed: int, n: int, data: st.DataObject) -> None:
    graph = ErdosRenyi(p=0.5).draw(n, rng(seed))
    f = data.draw(st.integers(0, n - 1))
    for placement in CHOOSING:
        found = chosen(placement, graph, f, seed)
        assert len(set(found)) == len(found) == f
        assert set(found) <= set(range(n))
        assert found == chosen(placement, graph, f, seed)
        assert isinstance(placement, RandomPeers) or chosen(placement, graph, f, seed + 1) == found
        joined = placement.attach(graph, f + 1, rng(seed))
        assert len(joined) == f + 1
        assert all(peers and set(peers) <= set(range(n)) for peers in joined)


@pytest.mark.parametrize("placement", CHOOSING, ids=lambda placement: placement.name)
def test_small_and_directed_networks(placement: Placement) -> None:
    alone = Graph(n=1, edges=[])
    assert chosen(placement, alone, 0) == []
    assert placement.attach(alone, 2, rng()) == [(0,), (0,)]
    assert len(chosen(placement, Graph(n=2, edges=[(0, 1)]), 1)) == 1
    assert len(set(chosen(placement, Exponential().draw(9, rng()), 3))) == 3
    assert len(set(chosen(placement, Complete().draw(9, rng()), 8))) == 8
    assert placement.outside(alone) is None


def test_chance_prefers_nobody() -> None:
    counts = np.bincount([peer for seed in range(600) for peer in chosen(RandomPeers(), TRIANGLES, 2, seed)])
    assert (np.abs(counts - 200) < 50).all()


def test_the_cut_is_where_the_network_is_weakest() -> None:
    """On a small world the cut holds more of the edges between the halves than chance does; its f ends are on it."""
    graph = WattsStrogatz().draw(40, rng(1))
    lost = connectivity(graph.without(chosen(Cut(), graph, 3))[0])
    by_chance = [connectivity(graph.without(chosen(RandomPeers(), graph, 3, seed))[0]) for seed in range(20)]
    assert lost < np.median(by_chance)


@pytest.mark.parametrize("seed", range(3))
def test_one_step_of_connectivity_is_the_best_of_all(seed: int) -> None:
    graph = ErdosRenyi(p=0.4).draw(12, rng(seed))
    left = [connectivity(graph.without([peer])[0]) for peer in range(12)]
    assert left[chosen(Connectivity(), graph, 1)[0]] == pytest.approx(min(left), abs=1e-8)


def test_a_short_list_of_peers_keeps_the_best_one() -> None:
    graph = WattsStrogatz(degree=4).draw(70, rng(2))
    left = [connectivity(graph.without([peer])[0]) for peer in range(70)]
    assert left[chosen(Connectivity(), graph, 1)[0]] == pytest.approx(min(left), abs=1e-8)


def test_a_network_in_parts_is_taken_apart_further() -> None:
    found = chosen(Connectivity(), Chain().draw(61, rng()), 3)
    assert found[0] == 30
    assert exposure(Chain().draw(61, rng()), found).largest_part < 30


def test_spread_leaves_nobody_far() -> None:
    ring = Ring().draw(24, rng())
    assert ring.hops(chosen(Spread(), ring, 4)).max() == 3
    best = min(ring.hops(list(some)).max() for some in combinations(range(0, 24, 2), 4))
    assert best == 3


@pytest.mark.parametrize("phi", [0.3, 1.0, 1.5])
def test_attached_sybils_are_the_published_ones(phi: float) -> None:
    graph = Regular(degree=4).draw(30, rng())
    placement = Attached(edges=phi, max_degree=7)
    count = placement.outside(graph)
    assert count == sybils_needed(30, phi, 7)
    found = placement.attach(graph, count, rng(3))
    assert found == place_sybils(graph.adjacency(), attack_edges=phi, max_degree=7, rng=3)
    assert sum(map(len, found)) == int(30 * phi + 1e-9)


def test_what_cannot_be_attached_is_an_error() -> None:
    graph = Ring().draw(9, rng())
    with pytest.raises(ParameterError, match=r"need 2 Sybils in a network of 9 peers. Found 5. Use 2 identities"):
        Attached().attach(graph, 5, rng())
    with pytest.raises(ParameterError, match="none of the network is malicious"):
        Attached().choose(graph, 2, rng())
    with pytest.raises(ParameterError, match="or nobody is attacked"):
        Attached(edges=0.1).outside(graph)
    with pytest.raises(ParameterError, match=r"count >= 0\. Found count=-1"):
        Cut().attach(graph, -1, rng())


@pytest.mark.parametrize("f", [-1, 6, 7])
def test_f_leaves_somebody_honest(f: int) -> None:
    with pytest.raises(ParameterError, match=f"0 <= f < 6, the number of peers. Found f={f}"):
        Degree().choose(TRIANGLES, f, rng())


@dataclass(frozen=True, kw_only=True)
class Wrong(Placement):
    """It answers what it is told to."""

    answer: tuple[int, ...] = ()

    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        return np.array(self.answer)


@pytest.mark.parametrize(
    "answer", [(), (1,), (1, 1), (0, 6), (-1, 0)], ids=["none", "few", "twice", "outside", "below"]
)
def test_a_placement_that_breaks_its_contract_is_named(answer: tuple[int, ...]) -> None:
    with pytest.raises(AttackError, match="Wrong should choose 2 different peers of 6"):
        Wrong(answer=answer).choose(TRIANGLES, 2, rng())


def test_stages_are_combined_from_the_left_and_from_the_right() -> None:
    whole = Cut() >> Clones(count=3) >> BadNets() >> ModelReplacement()
    assert whole == Cut() >> (Clones(count=3) >> (BadNets() >> ModelReplacement()))
    assert registry.build("attack", repr(whole)) == whole
    listed = ["cut", {"clones": {"count": 3}}, "bad_nets", "model_replacement"]
    assert registry.build("attack", listed) == whole
    assert [type(stage) for stage in whole.stages] == [Cut, Clones, BadNets, ModelReplacement]
    assert str(Cut() >> IPM()) == f"Cut > {IPM()}"
    assert whole.surface == "updates"
    assert (Cut() >> IPM()).required_knowledge() == IPM().required_knowledge() != Knowledge.NOTHING
    assert (Cut() >> IPM()).fits("dense")
    assert not (Cut() >> IPM()).fits("rankings")
    assert placed(Cut() >> IPM()) == (Cut(), IPM())
    assert placed(IPM()) == (None, IPM())
    assert placed(None) == (None, None)


@pytest.mark.parametrize("wrong", [Cut(), 3, None], ids=["placement", "number", "nothing"])
def test_only_attacks_follow_a_placement(wrong: Any) -> None:
    with pytest.raises(ParameterError, match="should stand before an attack on the training"):
        Cut() >> wrong


def test_only_a_poisoning_stands_before_another_attack() -> None:
    with pytest.raises(ParameterError, match="Only a poisoning of data"):
        Cut() >> SignFlip() >> IPM()
    assert (Cut() >> LabelFlip()) >> IPM() == Cut() >> (LabelFlip() >> IPM())


@pytest.mark.parametrize(
    ("attack", "message"),
    [("cut", "says where attackers are: list it with an attack"), (["cut", "sign_flip"], "needs a network of peers")],
)
def test_a_server_has_no_places(attack: Any, message: str) -> None:
    values = {
        "name": "places",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 6, "rounds": 1},
        "adversary": {"f": [0, 1]},
        "defenses": ["mean"],
        "attacks": [attack],
    }
    with pytest.raises((ScenarioError, ValueError), match=message):
        Experiment(values)


def test_the_registry_describes_placements() -> None:
    facts = registry.describe(registry.get("attack", "attached"))
    assert facts["surface"] == "placement"
    assert [parameter["name"] for parameter in facts["parameters"]] == ["edges", "max_degree", "by_chance"]
    assert registry.get("attack", "random") is RandomPeers
