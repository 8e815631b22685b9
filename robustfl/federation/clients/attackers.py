"""Malicious members who train in a way of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.clients.batches import Batches, batches_for
from robustfl.federation.clients.participants import Members
from robustfl.federation.clients.poisoning import Poisoning
from robustfl.federation.clients.training import local_change, trainer_for
from robustfl.federation.settings import Federation
from robustfl.federation.task import Population
from robustfl.threats.attack import Attack
from robustfl.threats.staging import stages
from robustfl.threats.updates.local_training import LocalAttack, Start

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]

MOST_SAMPLES = 2000
"""The largest number of clean samples, spread evenly over those of the attackers, for the gradient that guides them."""


class Attackers:
    """The local training of malicious members under a :class:`LocalAttack`.

    Attackers that make as many steps as the clients use the batches that they would have as clients. Otherwise they use
    batches of their own, from a stream of their own. Honest clients do the same in either case.
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        members: Members,
        attack: LocalAttack,
        poisoning: Poisoning | None,
        seed: int,
    ) -> None:
        self._population, self._settings, self._members = population, settings, members
        self._attack, self._poisoning = attack, poisoning
        plain = {"adversarial_training": None, "sharpness_radius": 0.0}  # what clients do for themselves
        self._train = trainer_for(population, settings.model_copy(update=plain))
        self._batches = batches_for(members, population, seed, "attackers' batches")
        fedsgd = settings.algorithm == "fedsgd"
        honest_rate = settings.server.learning_rate if fedsgd else settings.local_learning_rate
        self._rate = honest_rate if attack.learning_rate is None else attack.learning_rate
        # This is the change that a message of length 1 stands for: an honest client sends the mean of its gradients.
        self._unit = 1.0 if settings.message == "delta" else honest_rate * settings.local_steps

    def active(self, number: int) -> bool:
        """Whether they train in their own way in round `number`; otherwise they train as every client does."""
        return self._attack.active(number) and (self._poisoning is None or self._poisoning.active(number))

    def messages(
        self, number: int, malicious: Ids, batches: Batches, weights: Tensor, previous: Tensor | None
    ) -> Tensor:
        """The messages [f, d] of these members in round `number`, before they are crafted any further.

        `batches` are the samples on which they would train as clients. `weights` and `previous` [d] are the global
        model now and one round earlier.
        """
        population, settings, attack = self._population, self._settings, self._attack
        steps = attack.steps(settings.local_steps)
        if steps != settings.local_steps:
            batches = self._batches
            batches.begin(number, steps * settings.batch_size, True)
        ids, place = self._members.trained(malicious)
        index = torch.as_tensor(batches.of(ids), device=population.device).reshape(len(ids), steps, settings.batch_size)
        features, labels = population.features[index], population.labels[index]
        if self._poisoning is not None:
            poisoned = self._poisoning(features, labels, index, ids)
            dirty = index.new_tensor([attack.poisons(step) for step in range(steps)]).bool()
            shape = (-1, *[1] * (features.ndim - 2))
            features = torch.where(dirty.reshape(shape), poisoned[0], features)
            labels = torch.where(dirty.reshape(-1, 1), poisoned[1], labels)
        start = self._start(number, steps, weights, previous)
        change = local_change(
            self._train, weights, features, labels, lambda c, gradient, step: attack.follow(c, gradient, step, start)
        )
        messages = attack.finish(change, start) / (self._unit if settings.message == "delta" else -self._unit)
        return messages[torch.as_tensor(place, device=messages.device)]

    def _start(self, number: int, steps: int, weights: Tensor, previous: Tensor | None) -> Start:
        weights = weights.clone()
        server, sign = self._settings.server.learning_rate, 1.0 if self._settings.message == "delta" else -1.0
        return Start(
            round=number,
            steps=steps,
            rate=self._rate,
            weights=weights,
            previous_aggregate=None if previous is None else (weights - previous) * (sign / server),
            layers=self._population.layers,
            reach=server / self._unit,
            message=self._settings.message,
            clean_gradient=lambda: self._clean_gradient(weights),
        )

    def _clean_gradient(self, weights: Tensor) -> Tensor:
        held = self._members.samples()
        held = held[np.linspace(0, len(held) - 1, min(len(held), MOST_SAMPLES)).astype(np.int64)]
        index = torch.as_tensor(held, device=self._population.device)[None, None]  # one client, one step
        return self._train(weights, self._population.features[index], self._population.labels[index])[0]


def attackers_of(
    population: Population,
    settings: Federation,
    members: Members,
    attack: Attack | None,
    poisoning: Poisoning | None,
    seed: int,
) -> Attackers | None:
    """The attackers of an attack that decides how they train; None for all other attacks."""
    last = next((stage for stage in stages(attack) if isinstance(stage, LocalAttack)), None)
    return None if last is None else Attackers(population, settings, members, last, poisoning, seed)
