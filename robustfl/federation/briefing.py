"""Gathers from a round everything that the adversary could know; it is then handed out piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from robustfl.federation.anonymity import IMAGINED, row_order
from robustfl.federation.clients.training import predict
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.threats import Facts
from robustfl.threats.updates.view import Relabelling, Training

if TYPE_CHECKING:
    from torch import Tensor


def briefing(
    setup: Setup,
    round: Round,
    receiver: Receiver,
    messages: Tensor,
    own: Callable[[], Tensor],
    relabelled: Callable[[Relabelling], Tensor],
    training: Callable[[], Training],
) -> Facts:
    """The facts of a round for messages to one receiver, which hears the honest `messages` [h, d].

    `own` computes what the malicious members would send to the receiver if they were honest, [f, d]. `relabelled`
    computes what the honest members would have sent with other labels. `training` returns the functions by which the
    federation learns.
    """
    population, defense, members, model = setup.population, receiver.defense, setup.members, receiver.model
    names = setup.pseudonyms.of(members.names(np.concatenate([receiver.malicious, receiver.honest])).tolist())
    order = imagined_order(setup, round, receiver)
    named, rows = [names[place] for place in order.tolist()], torch.as_tensor(order, device=messages.device)

    def aggregate(updates: Tensor) -> Tensor:
        value: Tensor = defense.preview(updates[rows], ids=named, trusted=receiver.trusted).value
        return value

    def loss(weights: Tensor) -> float:
        held = torch.as_tensor(members.samples(), device=population.device)
        with torch.no_grad():
            logits = predict(population, weights, population.features[held])
            return float(cross_entropy(logits, population.labels[held]))

    return Facts(
        round=round.number,
        receiver=receiver.who,
        f=len(receiver.malicious),
        declared_f=defense.byzantine or 0,
        honest=messages,
        honest_ids=tuple(receiver.honest.tolist()),
        relabelled=relabelled,
        ids=tuple(names[: len(receiver.malicious)]),
        own=own,
        weights=model.weights,
        previous_weights=model.previous,
        initial_weights=population.initial,
        server_rate=setup.settings.server.learning_rate,
        fresh=population.another_initial,
        layers=population.layers,
        loss=loss,
        training=training,
        samples=lambda whose: _samples(setup, whose),
        aggregate=aggregate,
        rotation_equivariant=defense.rotation_equivariant,
        message=setup.settings.message,
        rng=setup.rng["attack"],
    )


def imagined_order(setup: Setup, round: Round, receiver: Receiver) -> Ids:
    """The order in which the rows of an adversary's questions come, where malicious rows were first.

    All questions of a round have the same order, so the search compares candidates and not orders.
    """
    rows = len(receiver.malicious) + len(receiver.honest)
    return row_order(setup.seed, round.number, receiver.who, rows, IMAGINED)


def _samples(setup: Setup, whose: str) -> tuple[Tensor, Tensor]:
    """The training samples [N, ...] and labels [N] that the malicious members, or the honest clients, hold."""
    population = setup.population
    if whose == "own":
        held = setup.members.samples()
    else:
        clients = setup.honest[setup.honest < setup.settings.clients]
        held = np.concatenate([population.parts[client] for client in clients])
    index = torch.as_tensor(held, device=population.device)
    return population.features[index], population.labels[index]
