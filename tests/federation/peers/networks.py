"""Small networks of peers for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustfl.defenses import Gossip
from robustfl.federation import Federation, Population, Simulation, assemble
from robustfl.federation.graphs import Ring
from robustfl.federation.observers.contract import Observer
from robustfl.federation.peers.topology import PeerToPeer
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.graphs.weights import mixing_weights
from tests.federation.worlds import gradient, population

PEERS = 8
RATE = 0.2


def rules(**values: Any) -> Federation:
    """Settings of eight peers on a ring that play three rounds."""
    defaults = {"clients": PEERS, "rounds": 3, "batch_size": 4, "topology": Ring(), "local_learning_rate": RATE}
    return Federation.model_validate({**defaults, "evaluate_every": 1, **values})


def network(defense: Any = None, *, seed: int = 0, world: Population | None = None, **values: Any) -> Simulation:
    """A simulation of peers; `attack`, `f`, `faults`, ... go to it, all other values to the settings."""
    names = ("attack", "f", "faults", "observers", "declared", "equivocation", "reference", "aims")
    given = {name: values.pop(name) for name in names if name in values}
    settings = rules(**values)
    made = world or population(clients=settings.clients, seed=seed)
    return assemble(made, settings, defense or Gossip(), seed=seed, **given)


def peers(sim: Simulation) -> PeerToPeer:
    assert isinstance(sim.topology, PeerToPeer)
    return sim.topology


class Kept(Observer):
    """Keeps all rounds, and the models of all peers after each."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.models: list[Tensor] = []
        self.topology: PeerToPeer | None = None
        self.trace: Trace | None = None

    def hear(self, round: Round) -> None:
        self.rounds.append(round)
        if self.topology is not None:
            self.models.append(self.topology.own.clone())


def played(sim: Simulation) -> Kept:
    """The rounds of a simulation, with the models of all peers after each."""
    kept = Kept()
    kept.topology = peers(sim)
    sim.observers.append(kept)
    kept.trace = sim.run()
    return kept


def half_steps(made: Population, models: Tensor, drawn: list[Any], rate: float = RATE) -> Tensor:
    """The models after local steps on the batches of one round, each through a module of its own."""
    found = []
    for model, (features, labels) in zip(models, drawn, strict=True):
        for x, y in zip(features, labels, strict=True):
            model = model - rate * gradient(made, model, x, y)
        found.append(model)
    return torch.stack(found)


def dense_weights(sim: Simulation, number: int = 0) -> Tensor:
    """The mixing weights as a matrix."""
    whole = mixing_weights(peers(sim).network.graph(number)).toarray()
    return torch.tensor(whole, dtype=torch.float32)
