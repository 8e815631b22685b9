"""A mechanism in its real round as a claim that audits can test.

The audits of :mod:`robustfl.privacy` know nothing of federations. Here they get a whole one, as a function of the
messages that clients compute and of a generator: everything from there to the release is the round that trials play.
:func:`audit_of` is the whole audit of a defense in a federation; ``robustfl audit SCENARIO`` asks it for each mechanism
of a suite.

>>> from robustfl.defenses import DPFedAvg, Mean
>>> from robustfl.federation import Federation, Task
>>> from robustfl.federation.data.data_sets import Digits
>>> from robustfl.federation.data.partitions import IID
>>> from robustfl.federation.models.architectures import Softmax
>>> population = Task(data=Digits(), model=Softmax(), partition=IID()).prepare(clients=40, seed=0)
>>> private = DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=2.0) >> Mean()
>>> audit_of(private, population, Federation(clients=40, rounds=5), np.random.default_rng(0)).verdict
<Verdict.PASS: 'PASS'>
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
from robustfl.privacy import Audit, Claim, Poisson, audit

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.privacy.pairs import FloatArray


_FEWEST = 12
_MOST_CANARIES = 300


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
        settings, poisson = self.simulation.setup.settings, isinstance(self.part.sampling, Poisson)
        most = settings.clients if poisson else settings.per_round
        if len(records) > most:
            raise ParameterError(f"A cohort has {most} records at most. Found {len(records)}. Take more clients.")
        size = len(records) if poisson else most
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
        # Zeros in place of the others would be a majority that no record of a median moves.
        cohort=10 if isinstance(loud.part.sampling, Poisson) else loud.simulation.setup.settings.per_round,
    )


def audit_of(
    defense: Protected,
    population: Population,
    settings: Federation,
    rng: np.random.Generator,
    *,
    protector: type[Protector] | None = None,
) -> Audit:
    """Try to refute what a mechanism claims about a training in a federation, with all instruments of an audit.

    The round is that of the federation. What clients compute is not: their messages are made up, hence local steps and
    momentum play no part. A fifth of the clients are ordinary and the others canaries, at most 300, and all rounds of
    the training are audited. So a small federation can refute a large epsilon only (VACUOUS).

    Cost: some 200 rounds, and eight times the rounds of the training.

    Raises ParameterError for a mechanism whose noise is not added by the server, for an asynchronous server, and for
    fewer than twelve clients in a round, as replays take ten.
    """
    claims = defense.protection
    if not claims.claims:
        return audit(None, rng, delta=claims.delta)
    if settings.server.asynchronous:
        raise ParameterError("An audit plays rounds of a server that waits for all messages. Take `mode: synchronous`.")
    if (settings.participation_sampling == "fixed" and settings.per_round < _FEWEST) or settings.clients < _FEWEST:
        raise ParameterError(
            f"An audit takes at least {_FEWEST} clients in a round. Found clients={settings.clients}, "
            f"participation={settings.participation}."
        )
    plain = settings.model_copy(
        update={"algorithm": "fedsgd", "message": "gradient", "local_steps": 1, "client_momentum": 0.0}
    )
    claim = claim_of(defense, population, plain, protector)
    ordinary = max(settings.clients // 5, settings.clients - min(population.d, _MOST_CANARIES))
    others = rng.standard_normal((ordinary, population.d))
    others *= claim.clip / np.linalg.norm(others, axis=1, keepdims=True)
    return audit(
        claim,
        rng,
        delta=claims.delta,
        rounds=settings.rounds,
        canaries=settings.clients - ordinary,
        others=others,
    )


def _without_noise(defense: Protected) -> Protected:
    """The same defense with its noise set to 0."""
    given: dict[str, Any] = {"noise_multiplier": 0.0, "target_epsilon": None, "max_epsilon": None}
    return replace(defense.mechanism, **given) >> defense.rule
