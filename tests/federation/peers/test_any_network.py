"""Networks of every shape end their training."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.attacks import Echo
from robustfl.defenses import NNA
from robustfl.federation.graphs import Chain, Complete, Ring, Star
from tests.federation.peers.networks import network
from tests.federation.worlds import population


@pytest.mark.parametrize("shape", [Chain(), Ring(), Star(), Complete()], ids=lambda shape: shape.name)
@pytest.mark.parametrize("clients", [1, 2, 8])
def test_networks_of_every_shape_end(shape: Any, clients: int) -> None:
    world = population(clients=clients)
    trace = network(NNA(), world=world, clients=clients, topology=shape).run()
    assert len(trace.more["peer_accuracy"]) == clients
    assert len(trace.more["main_classes"]) == clients


def test_a_leaf_whose_only_neighbour_is_malicious_ends() -> None:
    trace = network(NNA(), world=population(clients=2), clients=2, topology=Chain(), attack=Echo(), f=1).run()
    assert len(trace.more["peer_accuracy"]) == 1
    assert len(trace.more["malicious_peers"]) == 1
    assert trace.more["network_edges"] in ([0, 1], [1, 0])
