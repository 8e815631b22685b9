"""Peers who do not wait for all letters: which they read."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.attacks import Dropout, Echo
from robustfl.defenses import NNA
from robustfl.federation.graphs import Complete
from tests.federation.peers.networks import network, played


@pytest.mark.parametrize("reading", ["malicious_first", "by_chance"])
def test_letters_for_which_nobody_waits_are_not_read(reading: str) -> None:
    sim = network(
        NNA(), attack=Echo(), f=2, topology=Complete(), peers={"read": reading}, faults=(Dropout(probability=0.1),)
    )
    kept, heard = played(sim), []
    malicious = sim.setup.members.malicious
    for round in kept.rounds:
        (exchange,) = round.exchanges
        hearing = exchange.hearing
        for line in range(6):
            came = hearing.senders[line, 1:][exchange.arrived[line, 1:]]
            lost = int(exchange.lost[line].sum())
            assert len(came) == min(5, 7 - lost), "of seven neighbours two are not waited for"
            heard.append(int(malicious[came].sum()))
            if reading == "malicious_first":
                assert heard[-1] == 2 - int(exchange.lost[line][malicious[hearing.senders[line]]].sum())
            spread = hearing.weights[line][hearing.present[line]]
            assert spread.tolist() == pytest.approx([1 / len(spread)] * len(spread))
    assert reading == "malicious_first" or min(heard) < 2, "chance leaves malicious peers out as well"


def test_peers_wait_for_as_many_letters_as_rules_are_told_and_draw_anew_in_every_mixing() -> None:
    sim = network(topology=Complete(), declared=3, peers={"read": "by_chance", "bound": 3, "gossip_steps": 2})
    rounds = played(sim).rounds
    read = [tuple(exchange.hearing.senders[0].tolist()) for round in rounds for exchange in round.exchanges]
    assert all(np.count_nonzero(np.array(line) >= 0) == 1 + 7 - 3 for line in read)
    assert len(set(read)) > 1
