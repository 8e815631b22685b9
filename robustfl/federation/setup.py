"""What stays the same over all rounds of a simulation: the task, the rules, who takes part, and the random streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.anonymity import Pseudonyms
from robustfl.federation.clients.attackers import Attackers, attackers_of
from robustfl.federation.clients.participants import Members
from robustfl.federation.clients.poisoning import Poisoning, poisoning_for
from robustfl.federation.data.partitions import class_histogram
from robustfl.federation.faults import Faults
from robustfl.federation.peers.network import Network, network_of
from robustfl.federation.round import Ids
from robustfl.federation.settings import Federation
from robustfl.federation.streams import stream
from robustfl.federation.strike import Strike, strike_of
from robustfl.federation.task import Population
from robustfl.threats import Attack, Fault, Identities, SybilAttack
from robustfl.threats.identities import divided
from robustfl.threats.placement import PlacedAttack, placed


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The fixed part of a simulation, which all its parts share.

    Attributes
    ----------
    population : the clients' data after the faults of data, and the initial model
    clean : the population before any fault
    settings : the rules of the federation
    attack : what malicious clients do; None when they do nothing
    identities : under how many names malicious clients act; None when they act under their own names
    f : the number of malicious clients
    members : everybody who may send a message
    faults : what goes wrong without malice
    strike : the rounds in which the attack strikes; None when it never does
    poisoning, attackers : how malicious members train when they train in their own way, else None
    pseudonyms : the names by which defenses call the members
    public : [m] the places, among the training samples, of the samples that everybody has, without labels, and that no
        client has among its own; None where clients send updates
    rng : the random streams "sampling" and "attack"
    seed : the seed of the simulation
    roles : the seed that decides who is malicious and who is spied on
    network : who hears whom; None with a server
    tried : the samples on which each peer tries out what it gets; none with a server
    """

    population: Population
    clean: Population
    settings: Federation
    attack: Attack | None
    identities: Identities | None
    f: int
    members: Members
    faults: Faults
    strike: Strike | None
    poisoning: Poisoning | None
    attackers: Attackers | None
    pseudonyms: Pseudonyms
    public: Ids | None
    rng: dict[str, np.random.Generator]
    seed: int
    roles: int
    network: Network | None = None
    tried: Sequence[Ids] = ()

    @property
    def malicious(self) -> Ids:
        """The malicious members, in ascending order."""
        return np.flatnonzero(self.members.malicious)

    @property
    def malicious_clients(self) -> list[int]:
        """The malicious clients; each occurs once, however many identities it has."""
        return [int(client) for client in np.unique(self.members.leaders[self.malicious])]

    @cached_property
    def knows(self) -> NDArray[np.bool_]:
        """Of which classes each peer has samples, to train with or to try models out on, [clients, C]."""
        labels, classes = self.population.labels.cpu().numpy(), self.population.classes
        parts = [np.concatenate(own) for own in zip(self.population.parts, self.tried, strict=True)]
        return class_histogram(labels, parts, classes) > 0

    @property
    def honest(self) -> Ids:
        """The honest members, in ascending order."""
        return np.flatnonzero(~self.members.malicious)


def set_up(
    population: Population,
    settings: Federation,
    channel: str,
    *,
    attack: Attack | SybilAttack | PlacedAttack | None,
    f: int,
    faults: Sequence[Fault],
    seed: int,
    roles: int | None = None,
    declared: int | None = None,
    root: Path | None = None,
) -> Setup:
    """Decide who is malicious, apply faults and poisonings to the data, and prepare the random streams.

    `roles` is the seed that decides who is malicious; it is `seed` when it is not given. `declared` is the number of
    malicious peers that their rules are told, by default f, and `root` is the folder of data files.

    Raises
    ------
    ParameterError : `f` is out of range, the population has another number of clients, or a fault does not fit
    """
    if not 0 <= f < settings.clients:
        raise ParameterError(f"`f` should satisfy 0 <= f < clients. Found f={f}, clients={settings.clients}.")
    if population.clients != settings.clients:
        raise ParameterError(
            f"The population should have as many clients as the federation. Found {population.clients} and "
            f"{settings.clients}. Prepare the task with clients={settings.clients}."
        )
    public: Ids | None = None
    if settings.distillation is not None:
        population, public = population.set_aside(settings.distillation.public_share, seed)
    failures = Faults(faults, settings.clients, channel, seed)
    clean, population = population, failures.data(population)
    place, carried = placed(attack if f else None)
    identities, inner = divided(carried)
    rng: dict[str, Any] = {name: stream(seed, name) for name in ("sampling", "attack")}
    roles = seed if roles is None else roles
    network: Network | None = None
    tried: Sequence[Ids] = ()
    if settings.topology is None:
        order = stream(roles, "identities").permutation(settings.clients)
    else:
        told = f if declared is None else declared
        network = network_of(settings, place, identities, f, told, seed=seed, roles=roles, root=root)
        order, population = network.order, network.arranged(population)
        tried, few = population.parts, settings.network.train_per_class
        if few is not None:
            population, tried = population.held_back(few, stream(seed, "samples to train with"))
    members = Members(population, settings, identities, order, f, seed)
    if network is not None:
        network.populate(members.malicious, members.leaders)
    poisoning = poisoning_for(population, members, inner, rng["attack"])
    return Setup(
        population=population,
        clean=clean,
        settings=settings,
        attack=inner,
        identities=identities,
        f=f,
        members=members,
        faults=failures,
        strike=strike_of(inner, settings.rounds),
        poisoning=poisoning,
        attackers=attackers_of(population, settings, members, inner, poisoning, seed),
        pseudonyms=Pseudonyms(seed),
        public=public,
        rng=rng,
        seed=seed,
        roles=roles,
        network=network,
        tried=tried,
    )
