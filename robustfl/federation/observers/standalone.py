"""What clients reach without any federation."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.channels.dense import Rewarded
from robustfl.federation.classified import classified
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.settings import Federation
from robustfl.federation.setup import set_up
from robustfl.federation.task import Population
from robustfl.federation.topologies.asynchronous import schedule_for
from robustfl.federation.topologies.rewards import OwnModels
from robustfl.federation.topologies.server import Server

Floats = NDArray[np.float64]

_known: WeakKeyDictionary[Population, dict[tuple[str, int], Floats]] = WeakKeyDictionary()


def standalone_accuracies(population: Population, settings: Federation, defense: Any, seed: int) -> Floats:
    """The accuracy [n] that each client reaches alone with the same budget.

    It is computed once per population and seed. Every client trains with the batches and steps of the federation and
    gets nothing from others. `defense` is never asked.
    """
    settings = settings.alone
    found = _known.setdefault(population, {})
    key = (settings.model_dump_json(exclude={"evaluate_every"}), seed)
    if key not in found:
        setup = set_up(population, settings, Rewarded.name, attack=None, f=0, faults=(), seed=seed)
        channel = Rewarded(setup, ClientWork(setup), defense)
        alone = OwnModels(setup, channel)
        topology = Server(setup, channel, schedule_for(setup), alone)
        for number in range(settings.rounds):
            round = topology.sample(number)
            channel.compute(round, topology.models)
            topology.advance(round)
        found[key] = np.array([classified(population, model).plain for model in alone.own])
    return found[key]
