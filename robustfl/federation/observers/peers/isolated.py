"""What every peer reaches without any network."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.channels.models import Models
from robustfl.federation.classified import all_classified
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.observers.contract import Observer
from robustfl.federation.peers.topology import first_models
from robustfl.federation.setup import Setup, set_up
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

Floats = NDArray[np.float64]


class Isolated(Observer):
    """The accuracy of peers that train alone, with the first models, batches, steps and momentum of the network.

    It is the true zero of learning together: a rule under which peers are worse than this has lost more than it has
    protected.

    Cost: as much as the training of peers in one trial. It watches only trials without an attack and with the plain
    rule. A world has several of these for each seed, in which rules are told different numbers of malicious peers: the
    first one that a process plays measures for all.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("alone_mean", "mean accuracy of peers that train alone", unit="share"),
        Measure("alone_worst", "accuracy of the peer that learns least alone", unit="share"),
    )
    phase: ClassVar[str] = "alone"

    def __init__(self, setup: Setup, first: Models) -> None:
        self._setup, self._channel = setup, first

    def report(self, trace: Trace) -> None:
        setup = self._setup
        assert setup.network is not None
        kept, key = setup.clean.kept, (Isolated, setup.settings, setup.seed, setup.network.root)
        if key not in kept:
            kept[key] = self._accuracies(setup.network.root)
        found = kept[key]
        self.tell(trace, alone_mean=float(found.mean()), alone_worst=float(found.min()))

    def _accuracies(self, root: Path | None) -> Floats:
        setup, settings = self._setup, self._setup.settings
        fresh = set_up(setup.clean, settings, Models.name, attack=None, f=0, faults=(), seed=setup.seed, root=root)
        channel = Models(fresh, ClientWork(fresh), self._channel.defense)
        everybody = np.arange(settings.clients)
        models = first_models(fresh, everybody)
        for number in range(settings.rounds):
            before = models.clone()
            channel.train(models, channel.work.lesson(number, everybody, dirty=False))
            if settings.client_momentum:
                models = before + channel.remembered(models - before, everybody)
        return np.array([one.plain for one in all_classified(fresh.population, models)])
