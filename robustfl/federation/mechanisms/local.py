"""Noise at the clients: what `local_dp` and `secure_sum_dp` do in a round."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.federation.mechanisms.clipping import clipped
from robustfl.federation.mechanisms.contract import PURPOSE, AtClients, once_each
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.streams import stream
from robustfl.privacy import Entry, Everyone, Release, Sight, seen_by

if TYPE_CHECKING:
    from torch import Tensor


class LocalNoise(AtClients):
    """Each client clips its message and adds noise to it before anybody sees it.

    Formula: a client sends ``clipped(x) + σ C z``. What the server does with messages is post-processing, so the rule
    may be any. Nobody clips at the server: malicious clients need neither clip nor add noise, and an honest client is
    protected by its own noise alone. The noise of a client in a round follows from the seed, the round and the client,
    so a question what it would have sent with other labels meets the same noise.

    A neighbour replaces one client's messages. Whoever gets messages sees who takes part, so sampling amplifies
    nothing, and each client pays for the rounds in which it took part. The whole noise of one message is what counts:
    that of others, in a mean, is not relied upon.
    """

    relation = "replace_one"

    def unit(self) -> float:
        return self.protection.clip

    def sigma(self) -> float:
        """The noise of one message over the clip."""
        return self.noise_multiplier

    def entry(self, number: int) -> Entry:
        return Entry(
            rounds=(number + 1, number + 1),
            release=Release(noise_multiplier=self.noise_multiplier, sampling=Everyone()),
            seen=self.seen(),
            clip=self.protection.clip,
            rule=str(self.facts.name),
            formula="C",
            value=self.protection.clip,
            released=("message",),
        )

    def seen(self) -> dict[str, Sight]:
        """What each observer sees. None gets credit for sampling: who is absent adds no noise, which may be noticed."""
        found = seen_by("clients")
        return {name: Sight.NOISED_AND_WHO if sight is Sight.NOISED else sight for name, sight in found.items()}

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        scale = self.sigma() * self.protection.clip
        return clipped(messages, self.protection.clip) + scale * self.noises(messages, ids, round.number)

    def noises(self, messages: Tensor, ids: Ids, number: int) -> Tensor:
        """Standard normal numbers for each message; they depend on the seed, the round and the client."""
        if not len(ids):
            return messages
        seed, length = self.setup.seed, messages.shape[1]
        draws = np.empty((len(ids), length))
        for row, client in zip(draws, ids.tolist(), strict=True):
            stream(seed, f"{PURPOSE}, round {number}, client {client}").standard_normal(out=row)
        return messages.new_tensor(draws)

    def shared(self, round: Round, receiver: Receiver) -> None:
        """Each honest client that has sent a message has released it, whether it arrived or not."""
        self.accounts.release(self.entry(round.number), round.honest.tolist())


class SharedNoise(LocalNoise):
    """Each client clips its message and adds a share of the noise, which is enough in the sum of all messages.

    Formula: a client sends ``clipped(x) + σ C z/√h`` with the honest minimum ``h = ceil(honest share · m)`` of the m
    messages that a round expects, and the server sees their sum and their number. With k honest messages in the sum its
    noise is ``σ C √(k/h)``, and that is what a round is priced with: more noise than planned when more than h are
    honest, and less when fewer arrive.

    A second copy of a message is not added. A server that sees single messages sees almost no noise.
    """

    @property
    def least(self) -> int:
        """The honest minimum: with so many honest messages in a sum, the noise is the one that was planned."""
        return max(1, math.ceil(self.protection.honest * self.rows - 1e-9))

    def sigma(self) -> float:
        return self.noise_multiplier / math.sqrt(self.least)

    def unit(self) -> float:
        return self.protection.clip / math.sqrt(self.least)

    def seen(self) -> dict[str, Sight]:
        found = seen_by("shares")
        return {name: Sight.NOISED_AND_WHO if sight is Sight.NOISED else sight for name, sight in found.items()}

    def shown(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages.sum(dim=0, keepdim=True)

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        """The messages once each. One that is not finite would spoil the sum for all, and counts as a row of zeros."""
        rows, ids = once_each(receiver)
        return torch.where(rows.isfinite().all(dim=1, keepdim=True), rows, 0.0), ids

    def shared(self, round: Round, receiver: Receiver) -> None:
        honest = receiver.ids[~self.setup.members.malicious[receiver.ids]]
        sigma = self.noise_multiplier * math.sqrt(len(honest) / self.least)
        release = Release(noise_multiplier=sigma, sampling=Everyone())
        entry = replace(self.entry(round.number), release=release, released=("sum",))
        self.accounts.release(entry, honest.tolist())
