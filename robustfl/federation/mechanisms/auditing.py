"""A mechanism in its real round as a claim that audits can test.

The audits of :mod:`robustfl.privacy` know nothing of federations. Here they get a whole one, as a function of the
messages that clients compute and of a generator: everything from there to the release is the round that trials play.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustfl.aggregation import Protected
from robustfl.errors import ParameterError
from robustfl.federation.assembly import assemble
from robustfl.federation.channels.contract import Channel
from robustfl.federation.mechanisms.contract import Protector
from robustfl.federation.round import Ids
from robustfl.federation.settings import Federation
from robustfl.federation.setup import Setup
from robustfl.federation.task import Population
from robustfl.federation.topologies.ownership import CommonModel
from robustfl.federation.topologies.schedules import Schedule
from robustfl.federation.topologies.server import Server
from robustfl.privacy import Claim, Poisson

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.privacy.pairs import FloatArray


class Given(Schedule):
    """A schedule in which exactly the given honest members take part."""

    def __init__(self) -> None:
        self.present: Ids = np.empty(0, dtype=np.int64)

    def sample(self, number: int) -> tuple[Ids, Ids]:
        return self.present[:0], self.present

    def advance(self, number: int) -> None:
        """Do nothing, because nothing is kept from round to round."""


@dataclass(kw_only=True)
class Rehearsal:
    """One federation, of which rounds are played with messages that somebody else makes up.

    Parameters
    ----------
    defense, population, settings, protector : as :func:`robustfl.federation.assemble` takes them
    """

    defense: Protected
    population: Population
    settings: Federation
    protector: type[Protector] | None = None

    def __post_init__(self) -> None:
        self._schedule, self._records = Given(), np.empty((0, self.population.d))
        self.simulation = assemble(
            self.population,
            self.settings,
            self.defense,
            trainer=self._train,
            topology=self._topology,
            protector=self.protector,
        )
        self._number = min(1, self.settings.rounds - 1)  # in the first round defenses are asked more than once
        (self.part,) = [part for part in self.simulation.transforms if isinstance(part, Protector)]

    def release(self, records: FloatArray, rng: np.random.Generator) -> FloatArray:
        """What a round releases when these clients take part [k, d] and compute these messages.

        Where the size of a cohort is known, records that are missing are messages of zeros.
        """
        size = len(records) if isinstance(self.part.sampling, Poisson) else self.simulation.setup.settings.per_round
        if len(records) > size:
            raise ParameterError(f"A cohort has {size} records at most. Found {len(records)}.")
        self._records = np.zeros((size, self.population.d))
        self._records[: len(records)] = records
        self._schedule.present = np.arange(size)
        self.part.restart(rng)
        self.defense.reset()
        aggregate = self.simulation.play(self._number).receivers[0].aggregate
        if aggregate is None:
            raise ParameterError(f"{self.defense} releases nothing in a round with {len(records)} messages.")
        return np.asarray(aggregate.numpy())

    def _train(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        """The made-up messages in place of gradients."""
        return weights.new_tensor(self._records)

    def _topology(self, setup: Setup, channel: Channel) -> Server:
        return Server(setup, channel, self._schedule, CommonModel(setup, channel))


def claim_of(
    defense: Protected, population: Population, settings: Federation, protector: type[Protector] | None = None
) -> Claim:
    """What a mechanism with noise at the server claims about one round, for :func:`robustfl.privacy.audit`.

    The settings should let clients send gradients of one step, since a record is a message. `protector` replaces the
    part that carries the mechanism out, for instance by one that is broken on purpose.

    Raises ParameterError for settings in which a message is more than one gradient, or the noise is elsewhere.
    """
    if settings.algorithm != "fedsgd" or settings.message != "gradient" or settings.client_momentum:
        raise ParameterError("An audit takes records as messages: use fedsgd with messages `gradient`, no momentum.")
    if defense.protection.place != "server":
        raise ParameterError(f"{defense.protection.name} adds its noise before anything is released by a server.")
    loud = Rehearsal(defense=defense, population=population, settings=settings, protector=protector)
    silent = _without_noise(defense)
    quiet = Rehearsal(defense=silent, population=population, settings=settings, protector=protector)
    entry, clip = loud.part.entry(0), defense.protection.clip
    return Claim(
        mechanism=loud.release,
        noiseless=quiet.release,
        release=entry.release,
        dimension=population.d,
        clip=clip,
        scale=loud.part.unit() / clip,
        relation=loud.part.relation,
    )


def _without_noise(defense: Protected) -> Protected:
    """The same defense with its noise set to 0."""
    given: dict[str, Any] = {"noise_multiplier": 0.0, "target_epsilon": None, "max_epsilon": None}
    return replace(defense.mechanism, **given) >> defense.rule
