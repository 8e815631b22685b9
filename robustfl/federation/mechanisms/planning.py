"""Before a training: who will take part, how much noise a target needs, and how many rounds a budget pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robustfl.aggregation import Protection
from robustfl.errors import ParameterError
from robustfl.federation.settings import Federation
from robustfl.privacy import Entry, Everyone, FixedCohort, Poisson, Relation, Sampling, epsilon, noise_multiplier

AIMS = {"server": "participant", "clients": "server", "shares": "sum", "steps": "server"}
"""Against whom a target and a budget count, by who adds the noise: the observer that learns most among those that the
noise protects from. A participant sees every model, and not who else takes part."""


def sampling_of(settings: Federation, population: int) -> Sampling:
    """Who takes part in a round when `population` members could.

    An asynchronous server takes whoever is ready first, which is no random sample: it is priced as if all took part.
    """
    if settings.participation_sampling == "poisson" and settings.participation < 1:
        return Poisson(rate=settings.participation)
    if settings.server.asynchronous or settings.sampled(population) == population:
        return Everyone()
    return FixedCohort(size=settings.sampled(population), population=population)


def noise_for(
    protection: Protection, planned: Callable[[float], Entry], rounds: int, relation: Relation | None
) -> float:
    """The noise multiplier that a mechanism declares, or that its target needs over so many rounds.

    `planned` makes the entry of one round from a noise multiplier.

    Raises ParameterError when the target cannot be met.
    """
    if protection.noise_multiplier is not None:
        return protection.noise_multiplier
    assert protection.target_epsilon is not None
    seen = replace(planned(1.0), rounds=(1, rounds)).seen_releases(AIMS[protection.place])
    assert seen is not None, "the noise protects from this observer"
    return noise_multiplier(
        target_epsilon=protection.target_epsilon,
        delta=protection.delta,
        rounds=seen.rounds,
        sampling=seen.sampling,
        relation=relation,
        joining=seen.joining,
        replacing=seen.replacing,
    )


def rounds_within(protection: Protection, entry: Entry, rounds: int, relation: Relation | None) -> int:
    """How many of the planned rounds the budget pays for; all of them without a budget.

    Raises ParameterError when it does not pay for a single one.
    """
    budget = protection.max_epsilon
    if budget is None:
        return rounds

    def price(count: int) -> float:
        seen = replace(entry, rounds=(1, count)).seen_releases(AIMS[protection.place])
        assert seen is not None
        return epsilon([seen], protection.delta, relation)

    if price(1) > budget:
        raise ParameterError(
            f"{protection.name}: `max_epsilon` should pay for one round, which costs {price(1):.4g}. "
            f"Found max_epsilon={budget}. Raise it, or add more noise."
        )
    low, high = 1, rounds + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if price(middle) <= budget else (low, middle)
    return low
