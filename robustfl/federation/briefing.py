"""What the adversary of a round could know, gathered from the federation for it to be handed out piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from robustfl.federation.clients.training import predict
from robustfl.threats import Facts

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.simulation import Simulation
    from robustfl.federation.task import Population

Ids = NDArray[np.int64]


def briefing(
    federation: Simulation, number: int, malicious: Ids, honest: Ids, own: Tensor | None, messages: Tensor
) -> Facts:
    """The facts of round `number`, in which the honest members send `messages` [h, d].

    `own` [f, d] is what the malicious ones would send honestly, where it was computed.
    """
    population, defense, members = federation.population, federation.defense, federation.members
    names = members.names(np.concatenate([malicious, honest])).tolist()

    def own_messages() -> Tensor:
        assert own is not None, "computed whenever the attack declares to know it or pauses"
        return own

    def aggregate(updates: Tensor) -> Tensor:
        value: Tensor = defense.preview(updates, ids=names, trusted=federation.trusted).value
        return value

    def loss(weights: Tensor) -> float:
        held = torch.as_tensor(members.samples(), device=population.device)
        with torch.no_grad():
            logits = predict(population, weights, population.features[held])
            return float(cross_entropy(logits, population.labels[held]))

    return Facts(
        round=number,
        f=len(malicious),
        declared_f=defense.byzantine or 0,
        honest=messages,
        honest_ids=tuple(honest.tolist()),
        relabelled=lambda change: federation.relabelled(change, honest),
        ids=tuple(names[: len(malicious)]),
        own=own_messages,
        weights=federation.weights,
        previous_weights=federation.previous_weights,
        initial_weights=population.initial,
        server_rate=federation.settings.server.learning_rate,
        fresh=population.another_initial,
        layers=layers(population),
        loss=loss,
        aggregate=aggregate,
        rotation_equivariant=defense.rotation_equivariant,
        message=federation.settings.message,
        rng=federation.rng["attack"],
    )


def layers(population: Population) -> tuple[slice, ...]:
    """Places of the model's tensors in a flat vector."""
    ends = np.cumsum([shape.numel() for shape in population.shapes.values()]).tolist()
    return tuple(slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False))
