"""One process of a group that plays federations together, and writes what it has found.

Started by `test_distributed.py` as `python -m tests.federation.distributed_worker RANK SIZE STORE`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest
import torch
import torch.distributed as dist

from robustfl.attacks import BadNets, LabelFlip, SignFlip
from robustfl.defenses import FLTrust, GeometricMedian, Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation.assembly import assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import Dirichlet
from robustfl.federation.distributed import DistributedSimulation
from robustfl.federation.models.architectures import MLP
from robustfl.federation.settings import Federation
from robustfl.federation.task import Population, Task

CLIENTS = 9
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "trimmed": (TrimmedMean(f=2), LabelFlip(), {}),
    "krum": (Krum(f=2), None, {"algorithm": "fedavg", "local_steps": 2}),
    "few": (Mean(), LabelFlip(), {"participation": 0.25}),
    "median": (GeometricMedian(), BadNets(target=0), {}),
}
EXACT = ("trimmed", "krum")
"""The cases whose rules sort entries or pick rows, so that sums over columns change nothing."""


def prepared() -> Population:
    return Task(data=Digits(), model=MLP(hidden=(8,)), partition=Dirichlet(alpha=1.0)).prepare(clients=CLIENTS, seed=3)


def found(population: Population, name: str) -> tuple[DistributedSimulation, dict[str, Any]]:
    defense, attack, rules = CASES[name]
    settings = Federation(clients=CLIENTS, rounds=4, evaluate_every=2, **rules)
    simulation = DistributedSimulation(population, settings, defense, attack=attack, f=2, seed=3)
    trace = simulation.run()
    weights = simulation.topology.served()[0]
    return simulation, {
        "accuracy": trace.accuracy,
        "loss": trace.loss,
        "malicious": trace.malicious,
        "held": trace.held_rounds,
        "weights": hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
    }


def what_no_process_has_is_refused(population: Population) -> None:
    rules = Federation(clients=CLIENTS, rounds=1)
    for defense, settings, attack, told in (
        (Mean(), rules, SignFlip(), "should poison data"),
        (FLTrust(), rules, None, "rule for updates alone"),
        (Mean(), Federation(clients=CLIENTS, rounds=1, client_momentum=0.9), None, "no momentum"),
    ):
        with pytest.raises(ParameterError, match=told):
            DistributedSimulation(population, settings, defense, attack=attack, f=2)


def as_in_one_process(population: Population, name: str, weights: torch.Tensor) -> None:
    """The ordinary simulation ends with the same model, but for rounding, with clients trained in one batch."""
    defense, attack, rules = CASES[name]
    settings = Federation(clients=CLIENTS, rounds=4, evaluate_every=2, **rules)
    defense.reset()
    simulation = assemble(population, settings, defense, attack=attack, f=2, seed=3)
    simulation.run()
    torch.testing.assert_close(simulation.topology.served()[0], weights, rtol=0, atol=1e-4)


if __name__ == "__main__":
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=size)
    population, told = prepared(), {}
    for name in CASES:
        simulation, told[name] = found(population, name)
        if size == 1:
            as_in_one_process(population, name, simulation.topology.served()[0])
    what_no_process_has_is_refused(population)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(told))
