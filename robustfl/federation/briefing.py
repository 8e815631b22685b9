"""Gathers from a round everything that the adversary could know; it is then handed out piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from robustfl.federation.anonymity import IMAGINED, row_order
from robustfl.federation.clients.training import predict
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.threats import Backdoor, Facts
from robustfl.threats.staging import poisoning_of
from robustfl.threats.updates.view import Relabelling, Training, Whose

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
    heard: Callable[[Tensor], Tensor],
) -> Facts:
    """The facts of a round for messages to one receiver, which hears the honest `messages` [h, d].

    `own` computes what the malicious members would send to the receiver if they were honest, [f, d]. `relabelled`
    computes what the honest members would have sent with other labels. `training` returns the functions by which the
    federation learns. `heard` is what the receiver makes of messages before its defense sees them.
    """
    population, defense, members, model = setup.population, receiver.defense, setup.members, receiver.model

    @cache  # many attacks never ask the defense
    def asked() -> tuple[list[Hashable], Tensor]:
        names = setup.pseudonyms.of(members.names(np.concatenate([receiver.malicious, receiver.honest])).tolist())
        order = imagined_order(setup, round, receiver)
        return [names[place] for place in order.tolist()], torch.as_tensor(order, device=messages.device)

    def aggregate(updates: Tensor) -> Tensor:
        named, rows = asked()
        value: Tensor = defense.preview(heard(updates.index_select(0, rows)), ids=named, trusted=receiver.trusted).value
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
        ids=tuple(setup.pseudonyms.of(members.names(receiver.malicious).tolist())),
        own=own,
        weights=model.weights,
        previous_weights=model.previous,
        initial_weights=population.initial,
        server_rate=setup.settings.server.learning_rate,
        fresh=population.another_initial,
        layers=population.layers,
        loss=loss,
        training=training,
        marked=_marking(setup),
        holdings=lambda whose: _holdings(setup, whose),
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


def _marking(setup: Setup) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Marks samples with the trigger of the attack, for which it wants other labels; None when it has no trigger."""
    backdoor = poisoning_of(setup.attack)
    if not isinstance(backdoor, Backdoor):
        return None

    def marked(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        wanted = torch.as_tensor(backdoor.wanted(labels.cpu().numpy(), setup.population.classes), device=labels.device)
        changed = wanted != labels
        return backdoor.stamp(features[changed]), wanted[changed]

    return marked


def _holdings(setup: Setup, whose: Whose) -> list[tuple[Tensor, Tensor]]:
    """The training samples [N, ...] and labels [N] of each malicious member, or of each honest client, that has any."""
    population = setup.population
    if whose == "own":
        parts = setup.members.parts()
    else:
        clients = setup.honest[setup.honest < setup.settings.clients]
        parts = [population.parts[client] for client in clients]
    held = [torch.as_tensor(part, device=population.device) for part in parts if len(part)]
    return [(population.features[index], population.labels[index]) for index in held]
