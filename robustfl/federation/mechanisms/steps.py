"""Noise in every local step: what `dp_sgd` does, from the choice of samples to the message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from robustfl.aggregation import Protection
from robustfl.errors import ParameterError
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.mechanisms.clipping import clipped
from robustfl.federation.mechanisms.contract import PURPOSE, AtClients
from robustfl.federation.models.modes import TwoModes
from robustfl.federation.round import Ids, Lesson, Receiver, Round
from robustfl.federation.settings import Federation
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.privacy import Entry, Everyone, Poisson, Release, Sampling, seen_by

if TYPE_CHECKING:
    from torch import Tensor

MOST_NUMBERS = 2**26
"""Gradients of single samples are computed for all clients together up to so many numbers, else client by client."""


class NoisedSteps(AtClients):
    """Clients train with noise: each local step is a release of the examples that take part in it.

    A message is computed from noised gradients alone, so all that follows is post-processing, and the rule may be any.
    Each client has an account: its examples pay for all of its local steps, in the rounds in which it took part. That
    clients are sampled gives no credit, since the steps of a round share one participation. The number of examples of a
    client is public: a neighbour has one of them replaced by nothing, and the sum is divided by the same number.
    """

    relation = "add_or_remove"

    def __init__(self, protection: Protection, setup: Setup, defense: Any, noise_multiplier: float) -> None:
        if setup.settings.adversarial_training is not None:
            raise ParameterError(f"{protection.name} does not know samples that are made harder. Leave it out.")
        if setup.settings.sharpness_radius:
            raise ParameterError(
                f"{protection.name} clips and noises one gradient of each example in a step, and a sharpness-aware "
                "step takes two of them, of which one would not be noised. Found sharpness_radius="
                f"{setup.settings.sharpness_radius}. Leave it out, or protect whole clients."
            )
        if setup.members.sharing:
            raise ParameterError(
                f"{protection.name} protects the examples of one client, and here several clients have the same ones, "
                "or one of them more than once. Take a partition in which every sample belongs to one client, or "
                "protect whole clients."
            )
        super().__init__(protection, setup, defense, noise_multiplier)

    def unit(self) -> float:
        """That of one step of a client with as many examples as a batch."""
        return self.protection.clip / self.setup.settings.batch_size

    def rate(self, client: int) -> float:
        """The probability with which an example of a client takes part in a step."""
        return rate_of(self.setup.settings, len(self.setup.population.parts[client]))

    def entry(self, number: int) -> Entry:
        """One round of the client with the fewest examples, each of which takes part most often."""
        held = [client for client, part in enumerate(self.setup.population.parts) if len(part)]
        return self.entry_of(max(map(self.rate, held)), number)

    def entry_of(self, rate: float, number: int) -> Entry:
        """One round of a client whose examples take part with this rate."""
        sampling: Sampling = Poisson(rate=rate) if rate < 1 else Everyone()
        return Entry(
            rounds=(number + 1, number + 1),
            release=Release(noise_multiplier=self.noise_multiplier, sampling=sampling),
            seen=seen_by("clients", unit="example"),
            steps=self.setup.settings.local_steps,
            clip=self.protection.clip,
            rule="sum of gradients",
            formula="C",
            value=self.protection.clip,
            released=("step",),
        )

    def shared(self, round: Round, receiver: Receiver) -> None:
        """Each honest client has released its steps, whether its message arrived or not."""
        for client in round.honest.tolist():
            self.accounts.release(self.entry_of(self.rate(client), round.number), (client,))


class NoisedWork(ClientWork):
    """What clients compute when each of their steps is noised.

    Formula: each of a client's n examples takes part in a step with probability q = min(1, batch_size/n), independently
    of all others. With the gradient g of each that does, the step is ``(Σ min(1, C/||g||) g + σ C z)/(q n)``, where q n
    is the batch size (or n, if that is less) and not the number of examples that take part.

    Shapes: a lesson holds all examples of a client, [k, steps, n_max, ...], and a mask [k, steps, n_max] of those that
    take part; a client with fewer examples than others has places that never do. Memory: k n_max d numbers for the
    gradients, or n_max d when they are computed client by client. Malicious members train on what they chose, in the
    same way.
    """

    def __init__(self, setup: Setup, protection: Protection, noise_multiplier: float, *, trusted: bool = False) -> None:
        super().__init__(setup, trusted=trusted)
        self._protection, self._noise = protection, noise_multiplier
        self._masks = stream(setup.seed, "examples in steps")
        self._number = 0
        module, views = setup.population.module, setup.population.views
        if isinstance(module, TwoModes) and module.normalises:
            raise ParameterError(
                f"{setup.population.task.model!r} has batch normalisation: no example has a gradient of its own, which "
                "could be clipped. Use GroupNorm, or a mechanism whose unit is the client."
            )

        def loss(model: Tensor, features: Tensor, label: Tensor) -> Tensor:
            return cross_entropy(functional_call(module, views(model), (features[None],)), label[None])

        self._each = vmap(vmap(grad(loss), in_dims=(None, 0, 0)), in_dims=(0, 0, 0))

    def lesson(self, number: int, ids: Ids, *, dirty: bool) -> Lesson:
        """All examples of each member, and which of them take part in each step.

        Who takes part is drawn for all members, so that no member's examples depend on who else is there.
        """
        self._number = number
        setup, steps = self._setup, self._setup.settings.local_steps
        drawn = super().lesson(number, ids, dirty=dirty)
        pools = [self._pool(member) for member in drawn.ids.tolist()]
        longest = max((len(part) for part in setup.population.parts), default=0)
        longest = max(longest, setup.settings.batch_size)
        uniform = self._masks.random((len(setup.members), steps, longest))
        index = np.zeros((len(pools), longest), dtype=np.int64)
        mask = np.zeros((len(pools), steps, longest), dtype=np.bool_)
        for row, (member, pool) in enumerate(zip(drawn.ids.tolist(), pools, strict=True)):
            index[row, : len(pool)] = pool
            mask[row, :, : len(pool)] = uniform[member, :, : len(pool)] < rate_of(setup.settings, len(pool))
        device = setup.population.device
        places = torch.as_tensor(index, device=device)[:, None].expand(-1, steps, -1)
        flat = places.reshape(-1)
        features = setup.population.features.index_select(0, flat).reshape(*places.shape, *drawn.features.shape[3:])
        labels = setup.population.labels.index_select(0, flat).reshape(places.shape)
        poisoned = setup.poisoning is not None and setup.poisoning.active(number)
        if setup.poisoning is not None and poisoned and dirty:
            features, labels = setup.poisoning(features, labels, places, drawn.ids)
        features, starts = setup.members.hardened(features, drawn.ids)
        taking = torch.as_tensor(mask, device=device)
        return replace(drawn, index=places, features=features, labels=labels, starts=starts, taking=taking)

    def gradients(self, models: Tensor, lesson: Lesson) -> Tensor:
        """The sums of noised steps, one row for each client; a lesson of the server's own is not noised."""
        if lesson.taking is None:
            return super().gradients(models, lesson)
        held = lesson.taking.new_tensor([len(self._pool(member)) for member in lesson.ids.tolist()], dtype=torch.int64)
        divisors = held.clamp(max=self._setup.settings.batch_size).to(models)
        noise = self._noises(lesson, models)
        total = models.new_zeros((len(lesson.ids), models.shape[-1]))
        for step in range(lesson.taking.shape[1]):
            local = models - self._setup.settings.local_learning_rate * total
            summed = self._summed(local, lesson.features[:, step], lesson.labels[:, step], lesson.taking[:, step])
            total = total + self.released(summed, noise[:, step]) / divisors[:, None]
        return total

    def released(self, summed: Tensor, noise: Tensor) -> Tensor:
        """The noised sums [k, d] of a step, of sums [k, d] of clipped gradients and standard normal numbers [k, d]."""
        return summed + self._noise * self._protection.clip * noise

    def clipped(self, gradients: Tensor) -> Tensor:
        """The gradients [k, n, d] of single examples, each no longer than the clip."""
        return clipped(gradients, self._protection.clip)

    def _summed(self, models: Tensor, features: Tensor, labels: Tensor, taking: Tensor) -> Tensor:
        """The sums [k, d] of the clipped gradients of the examples that take part."""
        size = taking.shape[1] * models.shape[-1]
        together = max(1, MOST_NUMBERS // max(size, 1))
        sums = [
            (self.clipped(self._each(models[part], features[part], labels[part])) * taking[part][..., None]).sum(dim=1)
            for part in (slice(start, start + together) for start in range(0, len(taking), together))
        ]
        return torch.cat(sums) if sums else models

    def _noises(self, lesson: Lesson, models: Tensor) -> Tensor:
        """Standard normal numbers [k, steps, d], which depend on the seed, the round and the client."""
        steps, d = self._setup.settings.local_steps, models.shape[-1]
        rows = [
            stream(self._setup.seed, f"{PURPOSE}, round {self._number}, client {member}").standard_normal((steps, d))
            for member in lesson.ids.tolist()
        ]
        return models.new_tensor(np.array(rows)) if rows else models.new_zeros((0, steps, d))

    def _pool(self, member: int) -> Ids:
        """The examples of a member; those of a malicious one are what it has drawn for this round."""
        if self._setup.members.malicious[member]:
            return self._batches.of(np.array([member]))[0, : self._setup.settings.batch_size]
        part: Ids = self._setup.population.parts[member]
        return part


def rate_of(settings: Federation, examples: int) -> float:
    """The probability with which each of so many examples takes part in a step."""
    return min(1.0, settings.batch_size / max(examples, 1))
