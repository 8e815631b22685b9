"""Small worlds for the tests of the federation: data made of numbers, a few clients, settings in one line."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

from robustfl.aggregation import Aggregator
from robustfl.attacks import ALIE, IPM, Gaussian, LabelFlip, Mimic, NonFinite, SignFlip
from robustfl.defenses import Mean
from robustfl.federation import Federation, Population, Simulation, Task, assemble
from robustfl.federation.clients.training import predict
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID, Partition
from robustfl.federation.models.architectures import MLP, Model, Softmax
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.streams import stream
from robustfl.federation.topologies.rewards import OwnModels
from robustfl.federation.topologies.server import Server
from robustfl.threats import Attack

CLIENTS = 6


@dataclass(frozen=True, kw_only=True)
class Blobs(Data):
    """Noisy images [1, side, side] of as many patterns as there are classes."""

    side: int = 4
    classes: int = 3
    samples: int = 120

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        rng = np.random.default_rng(0)
        patterns = rng.normal(size=(self.classes, 1, self.side, self.side))
        y = np.arange(self.samples) % self.classes
        x = patterns[y] + 0.7 * rng.normal(size=(self.samples, 1, self.side, self.side))
        tests = self.samples // 4
        return Dataset(
            name="blobs",
            train_x=x[tests:].astype(np.float32),
            train_y=y[tests:],
            test_x=x[:tests].astype(np.float32),
            test_y=y[:tests],
            classes=tuple(f"class {c}" for c in range(self.classes)),
        )


def task(model: Model | None = None, partition: Partition | None = None, *, side: int = 4) -> Task:
    return Task(data=Blobs(side=side), model=model or Softmax(), partition=partition or IID())


def population(model: Model | None = None, clients: int = CLIENTS, seed: int = 0, side: int = 4) -> Population:
    return task(model, side=side).prepare(clients=clients, seed=seed)


def rules(**values: Any) -> Federation:
    """Settings of a federation of six clients that plays six rounds with batches of four."""
    defaults = {"clients": CLIENTS, "rounds": 6, "batch_size": 4, "evaluate_every": 3}
    return Federation.model_validate({**defaults, **values})


def simulation(
    defense: Aggregator | None = None, *, model: Model | None = None, seed: int = 0, world: Any = None, **values: Any
) -> Simulation:
    """A simulation; `attack`, `f`, `faults`, ... go to it, all other values to the settings."""
    given = {
        name: values.pop(name)
        for name in ("attack", "f", "faults", "aims", "evasions", "evasion_samples", "transforms", "observers", "twin")
        if name in values
    }
    settings = rules(**values)
    made = world or population(model, settings.clients, seed)
    return assemble(made, settings, defense or Mean(), seed=seed, **given)


class Kept(Observer):
    """Keeps the rounds that it hears."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []

    def hear(self, round: Round) -> None:
        self.rounds.append(round)

    @property
    def server(self) -> list[Receiver]:
        """The server in each of the rounds: what has reached it, and what its defense has answered.

        Rows stand in the order of their senders, and not in that in which the defense got them.
        """
        return [in_order(round.receivers[0]) for round in self.rounds]


def in_order(receiver: Receiver) -> Receiver:
    """A receiver whose rows, ids, names and weights stand in the order of the senders."""
    order, answer = np.argsort(receiver.ids, kind="stable"), receiver.answer
    if answer is not None:
        weights = None if answer.weights is None else answer.weights[order]
        answer = replace(answer, weights=weights, rejected=answer.rejected[order])
    return replace(
        receiver,
        rows=receiver.arrived[torch.as_tensor(order)],
        ids=receiver.ids[order],
        names=[receiver.names[place] for place in order.tolist()],
        answer=answer,
    )


def topology(sim: Simulation) -> Server:
    """Who is heard when, and who owns a model, in a simulation with a server."""
    assert isinstance(sim.topology, Server)
    return sim.topology


def weights(sim: Simulation) -> Tensor:
    """The server's model [d]."""
    return topology(sim).ownership.server.weights


def own_models(sim: Simulation) -> Tensor:
    """The model of each client [n, d], where each has its own."""
    ownership = topology(sim).ownership
    assert isinstance(ownership, OwnModels)
    return ownership.own


def logits(sim: Simulation, features: Tensor) -> Tensor:
    """What the server's model makes of samples [m, ...]."""
    return predict(sim.setup.population, weights(sim), features)


def trusted(sim: Simulation, number: int = 0) -> Tensor | None:
    """What the server itself would send in a round, from the samples that it trusts."""
    return sim.channel.trusted(topology(sim).ownership.server, number)


def sampled(sim: Simulation, number: int = 0) -> tuple[Ids, Ids]:
    """The malicious and the honest members of a round."""
    round = sim.topology.sample(number)
    return round.malicious, round.honest


def computed(sim: Simulation, number: int = 0) -> Round:
    """A round in which everybody has computed, and nothing has been sent yet."""
    round = sim.topology.sample(number)
    sim.channel.compute(round, sim.topology.models)
    for transform in sim.transforms:
        round.messages = transform.sent(round.sent, round.honest, round)
    round.seen = round.messages
    return round


def crafted(sim: Simulation, number: int = 0) -> Round:
    """A round in which malicious members have crafted their messages, and nothing has reached anybody yet."""
    round = computed(sim, number)
    sim.channel.craft(round)
    return round


SMALL_MLP = MLP(hidden=(5,))

ATTACKS: tuple[Attack, ...] = (
    ALIE(),
    IPM(diversify="pairs"),
    SignFlip(),
    Gaussian(),
    Mimic(),
    NonFinite(),
    LabelFlip(),
    IPM(start_round=2, every=2),
)


def batches(made: Population, rounds: int, steps: int, size: int, seed: int = 0) -> list[list[Any]]:
    """[round][client] -> (features [steps, size, ...], labels [steps, size]), drawn as the stream of batches says."""
    rng, drawn = stream(seed, "batches"), []
    for _ in range(rounds):
        uniform = rng.random((made.clients, steps * size))
        own = [part[(row * len(part)).astype(int)] for part, row in zip(made.parts, uniform, strict=True)]
        data = [(made.dataset.train_x[index], made.dataset.train_y[index]) for index in own]
        shaped = [(x.reshape(steps, size, *x.shape[1:]), y.reshape(steps, size)) for x, y in data]
        drawn.append([(torch.tensor(x), torch.tensor(y)) for x, y in shaped])
    return drawn


def gradient(made: Population, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of one batch at some weights, through a module of its own."""
    module = copy.deepcopy(made.module).requires_grad_(True)
    vector_to_parameters(weights.clone(), module.parameters())
    cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
    return torch.cat([parameter.grad.reshape(-1) for parameter in module.parameters() if parameter.grad is not None])
