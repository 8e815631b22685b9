"""How the peers fare who still take part in the end, where others have gone for good."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robustfl.federation.observers.contract import Observer
from robustfl.federation.observers.peers.accuracy import PeerAccuracy
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Presence(Observer):
    """The accuracy, in the end, of the honest peers who took part in at least one of the last rounds.

    The last rounds are those over which the accuracy is averaged (the tail). A peer that left before has the model with
    which it left, and says nothing about how the others get along without it. Peers who come and go count. Where
    nobody was absent for so long, these measures are those of all honest peers.

    Parameters
    ----------
    setup : the fixed part of the simulation
    accuracy : the observer that measures the peers
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("present_peers", "honest peers who took part in the last rounds", unit="share", better="higher"),
        Measure(
            "present_mean", "mean accuracy of peers who took part in the last rounds", unit="share", better="higher"
        ),
        Measure(
            "present_worst", "lowest accuracy of a peer who took part in the last rounds", unit="share", better="higher"
        ),
    )

    def __init__(self, setup: Setup, accuracy: PeerAccuracy) -> None:
        self._setup, self._accuracy = setup, accuracy
        self._present = np.zeros(len(setup.members), dtype=np.bool_)

    def hear(self, round: Round) -> None:
        settings = self._setup.settings
        if round.finished > settings.rounds - settings.tail:
            self._present[round.honest] = True

    def report(self, trace: Trace) -> None:
        present, last = self._present[self._setup.honest], self._accuracy.last
        if last is None:
            return
        self.tell(trace, present_peers=float(present.mean()))
        if present.any():
            self.tell(trace, present_mean=float(last[present].mean()), present_worst=float(last[present].min()))
