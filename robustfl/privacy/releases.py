"""What is released: how much noise it carries, who takes part, and what a neighbouring data set is.

>>> release = Release(noise_multiplier=2.0, sampling=FixedCohort(size=20, population=100), rounds=50)
>>> release.relations
('replace_one',)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from robustfl.errors import ParameterError
from robustfl.privacy.pairs import Added, Cohort, Exchanged, Gaussian, Pair, Removed

Relation = Literal["add_or_remove", "replace_one"]
"""What two neighbouring data sets differ in: one record that only one of them has, or one record that was exchanged."""


@dataclass(frozen=True, kw_only=True)
class Everyone:
    """All records take part in every release."""


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Each record takes part with probability `rate`, independently of all others and of earlier rounds.

    The cohort then has a random size, may be empty, and its size is a secret: divide by the expected size.
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ParameterError(f"Poisson: `rate` should satisfy 0 < rate <= 1. Found rate={self.rate}.")


@dataclass(frozen=True, kw_only=True)
class FixedCohort:
    """Exactly `size` of `population` records take part, drawn without replacement anew in each round.

    One more or one less record would change the population and thus the rate, so only the replacement of a record has
    a price. That price is far above what the formula for Poisson sampling gives: the exchanged record moves the sum
    twice as far, and another record, perhaps its opposite, has the place when it is not drawn.
    """

    size: int
    population: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.population:
            raise ParameterError(
                "FixedCohort: `size` should satisfy 1 <= size <= population. "
                f"Found size={self.size}, population={self.population}."
            )


Sampling = Everyone | Poisson | FixedCohort


@dataclass(frozen=True, kw_only=True)
class Release:
    """Gaussian noise on a quantity of bounded sensitivity, in `rounds` rounds.

    `noise_multiplier` σ is the standard deviation of the noise in each coordinate, in units in which `joining` and
    `replacing` say how far (in L2 norm) one record moves the quantity before the noise: by being there or not, and by
    being exchanged. For the sum of vectors that are clipped to the norm C, and noise of σC, these are 1 and 2, the
    defaults. A robust rule whose sensitivity is known only for exchanges has `joining=None`; with noise of σ times
    this sensitivity, `replacing=1.0`. A denominator is no part of this as long as it is public.
    """

    noise_multiplier: float
    rounds: int = 1
    sampling: Sampling = Everyone()
    joining: float | None = 1.0
    replacing: float = 2.0

    def __post_init__(self) -> None:
        if not (self.noise_multiplier >= 0 and math.isfinite(self.noise_multiplier)):
            raise ParameterError(
                "Release: `noise_multiplier` should be finite and >= 0. "
                f"Found noise_multiplier={self.noise_multiplier}."
            )
        if self.rounds < 0:
            raise ParameterError(f"Release: `rounds` should satisfy rounds >= 0. Found rounds={self.rounds}.")
        if not (self.replacing > 0 and math.isfinite(self.replacing)):
            raise ParameterError(f"Release: `replacing` should be finite and > 0. Found replacing={self.replacing}.")
        if self.joining is not None and not self.replacing / 2 <= self.joining < math.inf:
            raise ParameterError(
                "Release: `joining` should be at least half of `replacing`, since an exchange is one record that "
                f"leaves and one that joins. Found joining={self.joining}, replacing={self.replacing}."
            )

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The relations in which this release has a price, the usual one first."""
        if isinstance(self.sampling, FixedCohort) or self.joining is None:
            return () if isinstance(self.sampling, Poisson) and self.sampling.rate < 1 else ("replace_one",)
        return ("add_or_remove", "replace_one")

    @property
    def rate(self) -> float:
        """The probability with which one record takes part in a round."""
        match self.sampling:
            case Poisson(rate=rate):
                return rate
            case FixedCohort(size=size, population=population):
                return size / population
        return 1.0

    def with_known_cohort(self, participations: int | None = None) -> Release:
        """The price against somebody who knows who takes part: no amplification, for those who take part most often.

        `participations` is a public bound of the number of rounds in which one record takes part; without it, all.
        """
        rounds = self.rounds if participations is None else min(participations, self.rounds)
        return replace(self, sampling=Everyone(), rounds=rounds)

    def pairs(self, relation: Relation) -> tuple[Pair, ...]:
        """The dominating pairs of one round. With several, each holds for all rounds, and the dearest one counts."""
        if relation not in self.relations:
            raise ParameterError(_without_price(self, relation))
        step = self.joining if relation == "add_or_remove" else self.replacing
        if self.rate == 1.0:
            return (Gaussian(_over(step, self.noise_multiplier)),)
        if isinstance(self.sampling, FixedCohort):
            return (Cohort(self.rate, _over(self.replacing, self.noise_multiplier)),)
        shift = _over(self.joining, self.noise_multiplier)
        if relation == "replace_one":
            return (Exchanged(self.rate, shift),)
        return (Removed(self.rate, shift), Added(self.rate, shift))


def common_relation(releases: Iterable[Release]) -> Relation:
    """The relation that all releases have a price in: one more or one less record where possible, else an exchange."""
    shared = [set(release.relations) for release in releases]
    for relation in ("add_or_remove", "replace_one"):
        if all(relation in known for known in shared):
            return relation
    raise ParameterError(
        "No relation between neighbours has a price for all of these releases: Poisson sampling needs `joining`, the "
        "sensitivity to one record more or less. Give it, or let everybody or a cohort of fixed size take part."
    )


def _over(distance: float | None, noise: float) -> float:
    if distance is None or noise == 0:
        raise ParameterError("Without noise, or without a sensitivity, nothing bounds the privacy loss.")
    return distance / noise


def _without_price(release: Release, relation: Relation) -> str:
    if not release.relations:
        return (
            "Poisson sampling needs `joining`, the sensitivity to one record more or less. "
            f"Found joining={release.joining}. Let everybody or a cohort of fixed size take part."
        )
    reason = (
        "in a cohort of fixed size every record that leaves is followed by another one"
        if isinstance(release.sampling, FixedCohort)
        else "the sensitivity to one record more or less is not known (`joining` is None)"
    )
    return f"The relation {relation!r} has no price here: {reason}. Use {release.relations[0]!r}."
