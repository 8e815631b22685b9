"""Noise at the server: what `dp_fed_avg` does in a round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.aggregation.sensitivity import Sensitivity
from robustfl.federation.mechanisms.clipping import Clip, clipped, left_for_the_sum
from robustfl.federation.mechanisms.contract import Protector, once_each
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.privacy import Entry, Everyone, FixedCohort, Poisson, Release, seen_by

if TYPE_CHECKING:
    from torch import Tensor


class CentralNoise(Protector):
    """The server clips every message, lets its rule answer, and adds noise to the answer.

    Formula, with the clip C, the noise multiplier σ, standard normal z, and the number n of clients. Of a rule that
    averages the sum is released: ``(sum of clipped + σ C z)/m`` with the expected number m of messages, which is q n
    under Poisson sampling with rate q, and else the size of the cohort. Of any other rule A the release is
    ``A(clipped) + σ (s/2) z`` with the sensitivity s of the rule to one row that is replaced. For the mean of a cohort
    s/2 is C/m, so that one σ has one price whatever the rule is.

    A cohort of known size always fills the rule's rows: whoever does not answer counts as a row of zeros, and a second
    message of a client is not used. A round in which nobody takes part releases noise, as any other does.

    Raises
    ------
    ParameterError : the rule has no bound, for these numbers of rows or under Poisson sampling
    """

    def prepare(self) -> None:
        self._everybody = self.population
        self._bounds: dict[tuple[int, float], Sensitivity] = {}
        self._planned: tuple[tuple[int, float, float], Entry] | None = None  # an entry, and what it depends on
        self.length = Clip(self.protection.clip, self.protection.adaptive)

    def restart(self, rng: np.random.Generator) -> None:
        super().restart(rng)
        self.length = Clip(self.protection.clip, self.protection.adaptive)
        self._count = 0.0
        public = self.bound().public
        if public and self.protection.claims and self.defense.wants_trusted:
            self.accounts.void(
                "TRUSTED_IS_PRIVATE",
                0,
                f"The bound takes {', '.join(public)} to be public, and the server computes its update from samples "
                "that clients have as well.",
            )

    @property
    def clips(self) -> list[float]:
        return self.length.used

    @property
    def expected(self) -> float:
        """What a sum is divided by: the expected number of messages, which does not depend on who took part."""
        match self.sampling:
            case Poisson(rate=rate):
                return rate * self._everybody
            case FixedCohort(size=size):
                return float(size)
        return float(self.rows)

    def bound(self) -> Sensitivity:
        """What is known of how far one replaced row of a round moves the answer, with the clip of this round.

        A rule with a length of its own is not proportional to the clip, so it is asked anew for each clip.
        """
        asked = (self.rows, self.length.value)
        if asked not in self._bounds:
            self._bounds = {asked: self.defense.sensitivity_bound(*asked)}
        return self._bounds[asked]

    def unit(self) -> float:
        """The standard deviation of the noise for σ = 1: half of how far a replaced row moves the release."""
        if self.facts.averages:
            return self.length.value / self.expected
        value = self.bound().value
        # Without a bound no noise is enough for a claim; two clipped rows are at most two clips apart.
        return self.length.value if value is None else value / 2

    def entry(self, number: int) -> Entry:
        asked = self.population, self.length.value, self.unit()
        if self._planned is None or self._planned[0] != asked:
            self._planned = asked, self._entry(number)
        return self._planned[1].again(number + 1)

    def _entry(self, number: int) -> Entry:
        """What a round releases; but for its number it stays the same while population, clip and unit do."""
        sampling, unit = self.sampling, self.unit()
        joining: float | None = 1.0
        if not self.facts.averages:
            cleared = self.defense.sensitivity(self.rows, self.length.value, relation="add_or_remove")
            joining = None if cleared is None else max(1.0, cleared / unit)
        if self.setup.settings.server.asynchronous:  # who is missing lets another one be ready in time
            joining = None
        if not self.protection.claims:
            joining = 1.0
        found = self.bound()
        adaptive = self.protection.adaptive
        return Entry(
            rounds=(number + 1, number + 1),
            release=Release(noise_multiplier=self.noise_multiplier, sampling=sampling, joining=joining),
            seen=seen_by("server"),
            clip=None if adaptive else self.protection.clip,
            denominator=self.expected if self.facts.averages else None,
            rule=str(self.defense.behind),
            formula="C/m" if self.facts.averages else f"({found.formula or '2 clip, as nothing better is known'})/2",
            value=None if adaptive else unit,
            released=("aggregate", "clip_count") if adaptive else ("aggregate",),
        )

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return clipped(messages, self.length.value)

    def heard(self, messages: Tensor, round: Round) -> Tensor:
        return clipped(messages, self.length.value)

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        """The messages once each and clipped; whoever of a cohort of known size is silent counts as a row of zeros."""
        rows, ids = once_each(receiver)
        self._count = self.length.count(rows)
        rows = clipped(rows, self.length.value)
        cohort = np.concatenate([receiver.malicious, receiver.honest])
        self._watch(ids, cohort, round)
        silent = sorted({*cohort.tolist()}.difference(ids.tolist()))
        if self.facts.averages or not silent:
            return rows, ids
        return torch.cat([rows, rows.new_zeros(len(silent), rows.shape[1])]), np.concatenate([ids, silent])

    def released(self, receiver: Receiver, round: Round) -> Tensor | None:
        like = receiver.model.weights if receiver.aggregate is None else receiver.aggregate
        value = torch.zeros_like(like) if receiver.aggregate is None else self.value(receiver.aggregate, receiver)
        sigma = left_for_the_sum(self.noise_multiplier, self.protection.adaptive)
        return value + sigma * self.unit() * self.noise(value)

    def value(self, aggregate: Tensor, receiver: Receiver) -> Tensor:
        """The answer without noise; that of a rule that averages is divided by the expected number of messages."""
        return aggregate * (len(receiver.ids) / self.expected) if self.facts.averages else aggregate

    def shared(self, round: Round, receiver: Receiver) -> None:
        super().shared(round, receiver)
        self.length.follow(self._count, self.expected, self.rng)

    def _watch(self, ids: Ids, cohort: Ids, round: Round) -> None:
        """Withdraw the claim when messages come in rounds for which they were not drawn."""
        late = any(box.late for box in self.setup.faults.mailboxes.values())
        if late and not isinstance(self.sampling, Everyone):
            self.accounts.void(
                "LATE_MESSAGES",
                round.finished,
                "Messages came after their round, so that who takes part in a round depends on earlier rounds, which "
                "the price of random sampling does not cover.",
            )
