"""One process of a group that plays networks of peers together, and writes what it has found.

Started by `test_distributed_peers.py` as `python -m tests.federation.peers_worker RANK SIZE STORE`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from robustfl.attacks import Dissensus, Dropout, LabelFlip
from robustfl.defenses import NNA, UBAR, Gossip, Krum, Median, SybilWall
from robustfl.errors import ParameterError
from robustfl.federation.assembly import assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import Dirichlet
from robustfl.federation.distributed_peers import DistributedPeers
from robustfl.federation.graphs.drawn import Regular
from robustfl.federation.models.architectures import MLP
from robustfl.federation.settings import Federation
from robustfl.federation.task import Population, Task

PEERS, F = 10, 2
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "gossip": (Gossip(), {}, {"start": "own", "gossip_steps": 2}),
    "nna": (NNA(), {"client_momentum": 0.9}, {"order": "combine_then_adapt"}),
    "krum": (Krum(f=1), {"local_steps": 2}, {}),
    "rare": (NNA(), {"sharpness_radius": 0.05}, {"mix_every": 2, "merge": "all", "malicious_mixing": "never"}),
    "median": (Median(), {"participation": 1.0}, {"read": "malicious_first"}),
}


def prepared() -> Population:
    """A model of 4,810 numbers, so that two processes hold columns and the third holds none."""
    return Task(data=Digits(), model=MLP(hidden=(64,)), partition=Dirichlet(alpha=1.0)).prepare(clients=PEERS, seed=3)


def rules(more: dict[str, Any], peers: dict[str, Any]) -> Federation:
    shape = {"clients": PEERS, "rounds": 4, "evaluate_every": 2, "topology": Regular(degree=4)}
    return Federation.model_validate({**shape, "algorithm": "fedavg", "peers": peers, **more})


def told(trace: Any, models: torch.Tensor) -> dict[str, Any]:
    names = ("worst_peer", "worst_peer_curve", "mean_peer", "mean_peer_curve", "peer_accuracy")
    more = {name: trace.more[name] for name in names}
    return {
        "accuracy": trace.accuracy,
        "loss": trace.loss,
        "malicious": trace.malicious,
        "refused": trace.rejected_rows,
        "models": [hashlib.sha256(model.numpy().tobytes()).hexdigest() for model in models],
        **more,
    }


def alone(population: Population, name: str) -> tuple[dict[str, Any], list[float]]:
    """What one process finds, with everything that is around a simulation there."""
    defense, more, peers = CASES[name]
    given = {"attack": LabelFlip(), "f": F, "faults": [Dropout(probability=0.2)], "seed": 3}
    simulation = assemble(population, rules(more, peers), replace(defense), **given)
    trace = simulation.run()
    return told(trace, simulation.topology.served()), trace.more["consensus"]


def as_one_process(population: Population, name: str) -> None:
    defense, more, peers = CASES[name]
    given = {"attack": LabelFlip(), "f": F, "faults": [Dropout(probability=0.2)], "seed": 3}
    simulation = DistributedPeers(population, rules(more, peers), replace(defense), **given)
    trace = simulation.run()
    found = told(trace, simulation.topology.served())
    expected, consensus = alone(population, name)
    np.testing.assert_allclose(trace.more["consensus"], consensus, rtol=1e-5)
    parts: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, found.pop("models"))
    assert [model for part in parts for model in part] == expected.pop("models"), name
    for key, value in expected.items():
        assert found[key] == value, (name, key)


def what_no_process_has_is_refused(population: Population) -> None:
    for defense, attack, message in (
        (UBAR(), None, "needs whole letters"),
        (SybilWall(), None, "needs whole letters"),
        (NNA(), Dissensus(), "should poison data"),
    ):
        with pytest.raises(ParameterError, match=message):
            DistributedPeers(population, rules({}, {}), defense, attack=attack, f=F)
    with pytest.raises(ParameterError, match="needs a `topology`"):
        DistributedPeers(population, Federation(clients=PEERS, rounds=1), Median(), f=F)


if __name__ == "__main__":
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=size)
    population = prepared()
    for name in CASES:
        as_one_process(population, name)
    what_no_process_has_is_refused(population)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(list(CASES)))
