"""What a mechanism claims about one of its rounds, as a value that audits can test.

A mechanism is any function of records [n, d] and a generator that answers with a vector [d]. An audit knows nothing of
where it runs.

>>> import numpy as np
>>> from robustfl.privacy import Everyone, Release
>>> def noisy_mean(noise):
...     def mechanism(records, rng):
...         z = rng.standard_normal(records.shape[1])
...         norms = np.linalg.norm(records, axis=1, keepdims=True)
...         safe = np.where(np.isfinite(norms), records, 0.0) * np.minimum(1.0, 1.0 / np.maximum(norms, 1e-12))
...         return (safe.sum(axis=0) + noise * z) / 10
...     return mechanism
>>> claim = Claim(mechanism=noisy_mean(2.0), noiseless=noisy_mean(0.0), release=Release(noise_multiplier=2.0),
...               dimension=200, clip=1.0, scale=1 / 10)
>>> claim.noise_std
0.2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from robustfl.errors import ParameterError
from robustfl.privacy import accountant
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.releases import Relation, Release

Mechanism = Callable[[FloatArray, np.random.Generator], FloatArray]
"""The records [n, d] that take part in a round, and randomness -> what is released [d]."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A mechanism, and what it is said to do.

    `mechanism` gets the records that take part in a round; who does so is decided before. It draws its noise from the
    generator in a way that does not depend on the records, so that a round can be played again with the same noise.
    `noiseless` is the same mechanism with its noise set to 0; it uses the generator in the same way. `release` is the
    claim for one round. `clip` is the norm C to which it clips each record. `scale` says what one unit of the clipped
    sum is in what it releases: 1/(qN) for a mean. Thus the standard deviation of the noise is `σ C scale`. `cohort` is
    the number of records of a replayed round: all of them, where a mechanism fills up what is missing.
    """

    mechanism: Mechanism
    noiseless: Mechanism
    release: Release
    dimension: int
    clip: float = 1.0
    scale: float = 1.0
    relation: Relation | None = None
    cohort: int = 10

    def __post_init__(self) -> None:
        if self.release.rounds != 1:
            raise ParameterError(f"Claim: `release` should be of one round. Found rounds={self.release.rounds}.")
        if self.cohort < 2:
            raise ParameterError(f"Claim: `cohort` should be >= 2. Found cohort={self.cohort}.")
        if not (self.release.noise_multiplier > 0 and self.clip > 0 and self.scale > 0 and self.dimension >= 1):
            raise ParameterError(
                "Claim: the noise multiplier, `clip` and `scale` should be > 0 and `dimension` >= 1. "
                f"Found {self.release.noise_multiplier}, clip={self.clip}, scale={self.scale}, "
                f"dimension={self.dimension}. A mechanism without noise claims nothing that could be audited."
            )

    @property
    def neighbours(self) -> Relation:
        """The relation that the claim is about."""
        return self.relation or self.release.relations[0]

    @property
    def noise_std(self) -> float:
        """The standard deviation of the noise of each released coordinate."""
        return self.release.noise_multiplier * self.clip * self.scale

    def sensitivity(self, relation: Relation) -> float:
        """How far the release may move, in L2 norm, between neighbours in this relation; infinite where unknown."""
        steps = self.release.joining if relation == "add_or_remove" else self.release.replacing
        return math.inf if steps is None else steps * self.clip * self.scale

    def without_noise(self) -> Claim:
        """The same claim about the mechanism with its noise off: an audit that does not refute it proves nothing."""
        return replace(self, mechanism=self.noiseless)

    def curve(self, rounds: int, deltas: tuple[float, ...]) -> list[tuple[float, float]]:
        """What the claim says about so many rounds, as points (δ, ε)."""
        return accountant.curve([replace(self.release, rounds=rounds)], deltas, self.neighbours)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A contradiction to a claim: a stable code, the number that shows it, and a sentence."""

    code: str
    ratio: float
    text: str
