"""Who watches a network of peers, beside those who watch every simulation."""

from __future__ import annotations

from robustfl.federation.channels.contract import Channel
from robustfl.federation.channels.models import Models
from robustfl.federation.observers.accuracy import Accuracy
from robustfl.federation.observers.contract import Observer
from robustfl.federation.observers.peers.accuracy import PeerAccuracy
from robustfl.federation.observers.peers.isolated import Isolated
from robustfl.federation.observers.peers.letters import LetterCounts
from robustfl.federation.observers.peers.places import Places, largest_part
from robustfl.federation.observers.peers.presence import Presence
from robustfl.federation.peers.topology import PeerToPeer


def peer_observers(topology: PeerToPeer, channel: Channel, *, reference: bool) -> tuple[Accuracy, list[Observer]]:
    """The observer of accuracy, and the others; `reference` says whether to measure what peers reach alone."""
    setup = topology.setup
    accuracy = PeerAccuracy(setup, largest_part(topology.network, setup.honest))
    found: list[Observer] = [LetterCounts(topology), Places(setup, accuracy), Presence(setup, accuracy)]
    if reference and isinstance(channel, Models):
        found.append(Isolated(setup, channel))
    return accuracy, found
