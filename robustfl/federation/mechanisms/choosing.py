"""Which protector carries out what a mechanism declares, with how much noise and for how many rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robustfl.aggregation import Protection
from robustfl.errors import ParameterError
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.mechanisms.central import CentralNoise
from robustfl.federation.mechanisms.clipping import left_for_the_sum
from robustfl.federation.mechanisms.contract import Protector
from robustfl.federation.mechanisms.local import LocalNoise, SharedNoise
from robustfl.federation.mechanisms.planning import noise_for, rounds_within
from robustfl.federation.mechanisms.steps import NoisedSteps, NoisedWork
from robustfl.federation.setup import Setup

PROTECTORS: dict[str, type[Protector]] = {
    "server": CentralNoise,
    "clients": LocalNoise,
    "shares": SharedNoise,
    "steps": NoisedSteps,
}
"""The protectors, by who adds the noise."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is settled before a training begins: the kind of protector, its noise, and the rounds it may take."""

    kind: type[Protector]
    protection: Protection
    noise_multiplier: float
    rounds: int

    def work(self, setup: Setup, *, trusted: bool) -> ClientWork | None:
        """What clients compute, where noise goes into their steps; None where they compute as usual."""
        if self.protection.place != "steps":
            return None
        return NoisedWork(setup, self.protection, self.noise_multiplier, trusted=trusted)

    def begin(self, setup: Setup, defense: Any, twin: Any = None) -> Protector:
        """The protector of a training; a twin of the defense is told what is released, too."""
        protector = self.kind(self.protection, setup, defense, self.noise_multiplier)
        protector.copies = () if twin is None else (twin,)
        return protector


def course_of(protection: Protection, setup: Setup, defense: Any, kind: type[Protector] | None = None) -> Course:
    """Settle what a mechanism does in a training.

    `kind` replaces the protector that the mechanism asks for.

    Raises
    ------
    ParameterError : the mechanism and the rule, or the federation, do not go together; a target cannot be met; or the
        budget does not pay for one round
    """
    chosen = PROTECTORS[protection.place] if kind is None else kind

    def planned(noise_multiplier: float) -> Any:
        return chosen(protection, setup, defense, noise_multiplier).entry(0)

    rounds = setup.settings.rounds
    noise = noise_for(protection, planned, rounds, chosen.relation)
    if protection.max_epsilon is not None and noise == 0:
        raise ParameterError(f"{protection.name}: `max_epsilon` needs noise. Found noise_multiplier={noise}.")
    left_for_the_sum(noise, protection.adaptive)
    rounds = rounds_within(protection, planned(noise), rounds, chosen.relation) if noise else rounds
    return Course(kind=chosen, protection=protection, noise_multiplier=noise, rounds=rounds)
