"""The protector of the server with planted bugs, each as real programs had it, and worlds in which it is audited."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustfl.aggregation import Aggregator, Mechanism
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.defenses import DPFedAvg, Mean, Median
from robustfl.federation.mechanisms.auditing import claim_of
from robustfl.federation.mechanisms.central import CentralNoise
from robustfl.federation.mechanisms.clipping import clipped
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.privacy import Claim
from tests.federation.worlds import population, rules

CLIENTS = 10
POISSON = {"participation": 0.5, "participation_sampling": "poisson", "malicious_per_round": "sampled"}


def claim(
    rule: Aggregator | None = None, *, protector: Any = None, mechanism: Mechanism | None = None, **settings: Any
) -> Claim:
    """What a mechanism claims about a round of ten clients, whose messages have 1203 numbers."""
    first = mechanism or DPFedAvg(clip=0.3, delta=1e-3, noise_multiplier=2.0)
    given: dict[str, Any] = {"clients": CLIENTS, "message": "gradient", **settings}
    return claim_of(first >> (rule or Mean()), population(clients=given["clients"], side=20), rules(**given), protector)


class HalfTheNoise(CentralNoise):
    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        return 0.5 * super().noise(like, rng)


class TenPercentLess(CentralNoise):
    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        return 0.9 * super().noise(like, rng)


class DividedAgain(CentralNoise):
    """The noise, which is that of a mean, is divided by the size of the cohort once more."""

    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        return super().noise(like, rng) / self.expected


class NoNoise(CentralNoise):
    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        return 0.0 * super().noise(like, rng)


class TheSameNoise(CentralNoise):
    """A generator is made anew in each round."""

    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        return super().noise(like, np.random.default_rng(3))


class NoiseOfTheNextClip(CentralNoise):
    """The clip moves before the noise is drawn, as in Flower 1.41."""

    def released(self, receiver: Receiver, round: Round) -> Tensor | None:
        self.length.value *= float(np.exp(-0.1))
        return super().released(receiver, round)


class RealisedCohort(CentralNoise):
    """Sums are divided by the number of those who came."""

    def value(self, aggregate: Tensor, receiver: Receiver) -> Tensor:
        return aggregate


class NoClipAtTheServer(CentralNoise):
    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        return receiver.arrived, receiver.ids

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages


class EachHalfClipped(CentralNoise):
    """Each of two layers is clipped to C, so that the whole is longer."""

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        halves = receiver.arrived.tensor_split(2, dim=1)
        return torch.cat([clipped(half, self.length.value) for half in halves], dim=1), receiver.ids

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages


class NaNPasses(CentralNoise):
    """The mechanism sums messages itself, past the rule that leaves hostile rows out, and no number clips NaN."""

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        lengths = receiver.arrived.double().norm(dim=1, keepdim=True)
        factors = (self.length.value / lengths).clamp(max=1.0).to(receiver.arrived.dtype)
        self.sum = (receiver.arrived * factors).sum(dim=0)
        return super().received(receiver, round)

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages

    def value(self, aggregate: Tensor, receiver: Receiver) -> Tensor:
        return self.sum / self.expected


class MedianLength(CentralNoise):
    """The clip is the median of the lengths, which no noise covers."""

    def received(self, receiver: Receiver, round: Round) -> tuple[Tensor, Ids]:
        rows = receiver.arrived.nan_to_num(0.0, 0.0, 0.0)
        length = max(float(rows.double().norm(dim=1).median()), 1e-9) if len(rows) else 1.0
        return clipped(rows, length), receiver.ids

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages


class SilentWhenEmpty(CentralNoise):
    """A round in which nobody takes part releases nothing."""

    def released(self, receiver: Receiver, round: Round) -> Tensor | None:
        return super().released(receiver, round) if len(receiver.ids) else None


class LyingMedian(Median):
    """A median that declares the bound of a mean, and so gets the noise of a mean."""

    no_sensitivity = ""

    def moved(self, change: Change) -> Term:
        return Mean().moved(change)


BROKEN: dict[str, tuple[type[CentralNoise], str]] = {
    "noise divided again": (DividedAgain, "NOISE_TOO_SMALL"),
    "half the noise": (HalfTheNoise, "NOISE_TOO_SMALL"),
    "noise ten percent low": (TenPercentLess, "NOISE_TOO_SMALL"),
    "no noise": (NoNoise, "NO_NOISE"),
    "the same noise every round": (TheSameNoise, "REPEATED_NOISE"),
    "noise of the next clip": (NoiseOfTheNextClip, "NOISE_TOO_SMALL"),
    "realised cohort": (RealisedCohort, "SENSITIVITY"),
    "no clip": (NoClipAtTheServer, "SENSITIVITY"),
    "each layer clipped": (EachHalfClipped, "SENSITIVITY"),
    "NaN passes": (NaNPasses, "NOT_FINITE"),
    "length from the data": (MedianLength, "SENSITIVITY"),
    "silent when empty": (SilentWhenEmpty, "EMPTY_COHORT"),
}
