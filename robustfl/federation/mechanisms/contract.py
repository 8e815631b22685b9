"""A mechanism at work: the contract of protectors."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robustfl.aggregation import Protection
from robustfl.aggregation.mechanisms import facts_of
from robustfl.errors import ParameterError, RobustflError
from robustfl.federation.mechanisms.accounts import Accounts
from robustfl.federation.mechanisms.planning import sampling_of
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.transforms import Transform
from robustfl.privacy import Entry, FixedCohort, Poisson, Relation, Sampling
from robustfl.privacy.compatibility import Drawn, Level, RuleFacts, Situation, noise_to_signal, standing

if TYPE_CHECKING:
    from torch import Tensor

PURPOSE = "privacy noise"
"""The purpose of the random stream of noise. It makes trials repeatable; whoever knows the seed knows the noise, so the
guarantee is one of the mechanism with secret randomness, and not of this very run."""


class Protector(Transform):
    """Carries out what a mechanism declares, and keeps the accounts of what was released.

    A round passes through it in this order: clients clip what they send (`sent`); what reaches the server is clipped
    again where the server is the one who is trusted (`received`), as malicious clients need not obey; the rule answers;
    noise is added to the answer (`answered`). Attackers who ask what the rule would answer see messages clipped as the
    server would (`heard`), and no noise.

    Parameters
    ----------
    protection : what the mechanism declares
    setup : the fixed part of the simulation
    defense : the defense, of which only the bound of its sensitivity is asked, and whether it averages
    noise_multiplier : the noise, which may follow from a target

    Attributes
    ----------
    copies : copies of the defense that are asked the same
    rng : the randomness of the noise
    accounts : what was released so far, and what it costs
    """

    channels = ("dense",)
    copies: tuple[Any, ...] = ()
    relation: Relation | None = None
    """The relation between neighbours; None for the strongest one that has a price."""

    def __init__(self, protection: Protection, setup: Setup, defense: Any, noise_multiplier: float) -> None:
        self.protection, self.setup, self.defense = protection, setup, defense
        self.noise_multiplier = noise_multiplier
        self._sampling: tuple[int, Sampling] | None = None  # for the last population
        self.facts: RuleFacts = facts_of(defense, self.rows, protection.clip)
        self.prepare()
        found = standing(self.situation())
        errors = " ".join(reason.text for reason in found.of(Level.ERROR))
        if errors and protection.claims:
            raise ParameterError(f"{protection.name}: {errors} To drop the claim: `claim: none`.")
        self._reasons = found.reasons
        self.restart(stream(setup.seed, PURPOSE))

    def prepare(self) -> None:
        """Work out what stays the same over all rounds."""

    def restart(self, rng: np.random.Generator) -> None:
        """Forget all rounds, and take noise from this generator."""
        self.rng, self.accounts = rng, Accounts(self.protection, self.relation)
        if not self.protection.claims:
            self.accounts.void("NO_CLAIM", 0, "The mechanism was told to make no claim (`claim: none`).")
        for reason in self._reasons:
            if reason.level is not Level.NOTE:
                self.accounts.void(reason.code, 0, reason.text)

    def situation(self) -> Situation:
        """What decides whether the claim stands, for the table in :mod:`robustfl.privacy.compatibility`."""
        kinds: dict[type, Drawn] = {Poisson: "poisson", FixedCohort: "fixed"}
        return Situation(
            place=self.protection.place,
            rule=self.facts,
            sampling=kinds.get(type(self.sampling), "everyone"),
            clip="noised" if self.protection.adaptive else "public",
            noise_to_signal=self.noise_ratio,
        )

    @property
    def noise_ratio(self) -> float:
        """The length of the noise over the clip, of what is released: of the sum or mean, or of one message."""
        return noise_to_signal(self.noise_multiplier * self.unit() / self.protection.clip, self.setup.population.d)

    @property
    def notes(self) -> list[str]:
        """What should be said beside the claim."""
        return [f"{reason.code}: {reason.text}" for reason in self._reasons if reason.level is Level.NOTE]

    @property
    def sampling(self) -> Sampling:
        """Who takes part in a round, as the accountant counts it."""
        population = self.population
        if self._sampling is None or self._sampling[0] != population:
            self._sampling = population, sampling_of(self.setup.settings, population)
        return self._sampling[1]

    @property
    def population(self) -> int:
        """The number of members who could take part in this round; it is public."""
        return self.setup.members.presence

    @property
    def clips(self) -> list[float]:
        """The clip of each round, where rounds may have different ones."""
        return []

    @property
    def rows(self) -> int:
        """The number of rows of a round; under Poisson sampling the expected one, rounded."""
        return self.setup.settings.sampled(self.population)

    @abstractmethod
    def entry(self, number: int) -> Entry:
        """What round `number` releases, when everything goes as planned."""

    @abstractmethod
    def unit(self) -> float:
        """The standard deviation of the noise for σ = 1, in what is released."""

    def shared(self, round: Round, receiver: Receiver) -> None:
        """Write down what a round has released; the noise has just been added."""
        self.accounts.release(self.entry(round.number))

    def allows(self, number: int) -> bool:
        """Whether the budget pays for one more round like the ones that were planned."""
        return self.protection.max_epsilon is None or self.accounts.allows(self.entry(number))

    def answered(self, receiver: Receiver, round: Round) -> Tensor | None:
        """The release of a round: the answer with the noise of the server, which :meth:`released` adds."""
        if len(round.receivers) != 1:
            raise RobustflError(
                f"{self.protection.name} protects what one server releases. Found {len(round.receivers)} receivers."
            )
        if receiver.answer is None and len(receiver.ids):
            text = f"The rule had no answer in round {round.finished}, and that it had none was seen."
            self.accounts.void("HELD_ROUND", round.finished, text)
            return None
        released = self.released(receiver, round)
        if released is not None:
            self.shared(round, receiver)
            self._tell(released)
        return released

    def _tell(self, released: Tensor) -> None:
        """Let a rule with a memory know what was released in place of its answer."""
        for defense in (self.defense, *self.copies):
            if defense.stateful:
                defense.released(released.cpu().numpy())

    @abstractmethod
    def released(self, receiver: Receiver, round: Round) -> Tensor | None:
        """What is released of a round; None when nothing is."""

    def noise(self, like: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Standard normal numbers in the form of a vector or of rows."""
        drawn = (rng or self.rng).standard_normal(tuple(like.shape))
        return like.new_tensor(drawn)


class AtClients(Protector):
    """A protector whose messages are released before they arrive: what the server makes of them needs no noise."""

    def answered(self, receiver: Receiver, round: Round) -> Tensor | None:
        """The answer as it is: whatever the rule makes of messages, these have been released."""
        self.shared(round, receiver)
        return receiver.aggregate

    def released(self, receiver: Receiver, round: Round) -> Tensor | None:
        return receiver.aggregate


def once_each(receiver: Receiver) -> tuple[Tensor, Ids]:
    """The messages that have arrived, without second copies, which would count their clients twice."""
    if len(set(receiver.ids.tolist())) == len(receiver.ids):
        return receiver.arrived, receiver.ids
    places = np.sort(np.unique(receiver.ids, return_index=True)[1])
    return receiver.arrived[torch.as_tensor(places, device=receiver.arrived.device)], receiver.ids[places]
