"""A white-box attack, a federated round and a cell of a benchmark, with ByzFL's parts put together as its runner does.

ByzFL's own runner downloads its data, so its clients, server and attack are given generated images here. Both sides
have the same model (784-100-10, ReLU), the same number of clients and samples, the same batch size and step size.
Batches are random on both sides, and those of robustfl are drawn with replacement, so accuracies are close, not equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from robustfl.attacks import OptALIE
from robustfl.defenses import NNM, TrimmedMean
from robustfl.federation import Federation, Population, Task, assemble
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP

EVALUATIONS = 20
"""Candidates of the search for the strength of ALIE: ByzFL's default, and ours."""
STEP = 0.1


@dataclass(frozen=True)
class World:
    """Clients with their batches, `f` of them malicious, for some rounds."""

    name: str
    clients: int
    f: int
    batch: int
    rounds: int
    attacked: bool

    @property
    def short(self) -> World:
        """The same in one round, to see that it runs."""
        return replace(self, rounds=1)


ROUND = World("a round: 20 clients, batch 32, trimmed mean", 20, 4, 32, 10, attacked=False)
CELL = World("a cell: 15 clients, 3 of them send optimised ALIE, NNM and trimmed mean", 15, 3, 16, 3, attacked=True)


@dataclass(frozen=True, kw_only=True)
class Images(Data):
    """Ten random images of 28 x 28 pixels, with so much noise that they have to be learnt."""

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        rng = np.random.default_rng(0)
        faces = rng.random((10, 1, 28, 28), dtype=np.float32)
        labels = np.arange(2_400) % 10
        pixels = faces[labels] + 2.0 * rng.standard_normal((len(labels), 1, 28, 28), dtype=np.float32)
        cut = 2_000
        return Dataset(
            name="images", train_x=pixels[:cut], train_y=labels[:cut], test_x=pixels[cut:], test_y=labels[cut:],
            classes=tuple("0123456789"),
        )  # fmt: skip


def search(rows: torch.Tensor, f: int) -> dict[str, Callable[[], Any]]:
    """The search for the strength of ALIE against NNM and a trimmed mean, given the honest rows."""
    aggregators, attacks = import_module("byzfl.aggregators"), import_module("byzfl.attacks")
    theirs = attacks.Optimal_ALittleIsEnough(
        aggregators.TrMean(f), [aggregators.NNM(f)], f=f, evals=EVALUATIONS
    )  # fmt: skip
    ours, defense = OptALIE(evaluations=EVALUATIONS, ddof=1), NNM(f=f) >> TrimmedMean(f=f)
    return {
        "robustfl": lambda: ours(rows, f=f, aggregate=defense)[0],
        "byzfl": partial(theirs, rows),
    }


def population(world: World) -> Population:
    return Task(data=Images(), model=MLP(hidden=(100,)), partition=IID()).prepare(clients=world.clients, seed=0)


def play_ours(world: World, ready: Population) -> float:
    """The accuracy after the last round."""
    f = world.f
    settings = Federation.model_validate(
        {
            "clients": world.clients,
            "rounds": world.rounds,
            "batch_size": world.batch,
            "evaluate_every": world.rounds,
            "server": {"learning_rate": STEP},
        }
    )
    defense = NNM(f=f) >> TrimmedMean(f=f) if world.attacked else TrimmedMean(f=f)
    attack = OptALIE(evaluations=EVALUATIONS, ddof=1) if world.attacked else None
    trace = assemble(ready, settings, defense, attack=attack, f=f if world.attacked else 0).run()
    return float(trace.accuracy[-1][1])


def play_theirs(world: World, ready: Population) -> float:
    """The same by ByzFL's clients, server and Byzantine client."""
    framework, f = import_module("byzfl.fed_framework"), world.f
    honest = world.clients - f if world.attacked else world.clients
    model = {"model_name": "fc_mnist", "device": "cpu", "weight_decay": 0.0, "milestones": []}
    model |= {"learning_rate": STEP, "learning_rate_decay": 1.0, "optimizer_name": "SGD"}
    taught = {"loss_name": "NLLLoss", "LabelFlipping": False, "nb_labels": 10, "momentum": 0.0}
    shards = [torch.as_tensor(part) for part in ready.parts[:honest]]
    clients = [
        framework.Client({
            **model, **taught, "store_per_client_metrics": False,
            "training_dataloader": _loader(ready.features[shard], ready.labels[shard], world.batch, number),
        })
        for number, shard in enumerate(shards)
    ]  # fmt: skip
    rule: dict[str, Any] = {
        "aggregator_info": {"name": "TrMean", "parameters": {"f": f}},
        "pre_agg_list": [{"name": "NNM", "parameters": {"f": f}}] if world.attacked else [],
    }
    tests = _loader(ready.test_features, ready.test_labels, len(ready.test_labels), 0)
    server = framework.Server({**model, **rule, "test_loader": tests})
    server.set_parameters(ready.initial.clone())
    attack: dict[str, Any] = {"name": "NoAttack", "f": 0, "parameters": {}}
    if world.attacked:
        attack = {"name": "Optimal_ALittleIsEnough", "f": f, "parameters": {**rule, "f": f, "evals": EVALUATIONS}}
    malicious = framework.ByzantineClient(attack)
    for _ in range(world.rounds):
        for client in clients:
            client.set_model_state(server.get_dict_parameters())
            client.compute_gradients()
        sent = [client.get_flat_gradients_with_momentum() for client in clients]
        server.update_model_with_gradients(sent + malicious.apply_attack(sent))
    return float(server.compute_test_accuracy())


def _loader(features: torch.Tensor, labels: torch.Tensor, batch: int, seed: int) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    data = TensorDataset(features, labels)
    return DataLoader(data, batch_size=batch, shuffle=True, generator=generator)
