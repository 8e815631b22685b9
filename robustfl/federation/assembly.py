"""Chooses the parts of a simulation from the settings and the defense, and refuses what cannot be combined.

The defense decides what a message is, the server's mode decides who is heard when, and the channel decides who owns a
model. All parts that make sense together work together. For all others, :func:`refusal` says why they do not, before
anything runs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustfl.aggregation import ClientSide, Defense
from robustfl.errors import ParameterError
from robustfl.federation.channels.names import CHANNELS, channel_named, spoken_channel
from robustfl.federation.peers.fitting import rule_for, unfit_among_peers
from robustfl.federation.settings import Federation
from robustfl.threats import Attack, Fault, PlacedAttack, SybilAttack
from robustfl.threats.evasion import Evasion

if TYPE_CHECKING:
    from robustfl.federation.channels.contract import Channel
    from robustfl.federation.clients.local_steps import Trainer
    from robustfl.federation.engine import Simulation
    from robustfl.federation.mechanisms.choosing import Course
    from robustfl.federation.mechanisms.contract import Protector
    from robustfl.federation.observers.conduct import Conduct
    from robustfl.federation.observers.contract import Observer
    from robustfl.federation.setup import Setup
    from robustfl.federation.spying.plan import Spying
    from robustfl.federation.spying.siblings import Kin
    from robustfl.federation.task import Population
    from robustfl.federation.topologies.contract import Topology
    from robustfl.federation.transforms import Transform


def refusal(
    defense: Defense,
    settings: Federation,
    *,
    attack: Attack | SybilAttack | PlacedAttack | None = None,
    faults: Iterable[Fault] = (),
    channel: type[Channel] | None = None,
    transforms: Iterable[Transform] = (),
    trainer: Trainer | None = None,
) -> str | None:
    """The reason why these parts cannot be combined, or None when they can.

    `channel` replaces the channel that the defense names, and `trainer` computes what clients compute.
    """
    apart = unfit_among_peers(defense, settings)
    if apart is not None:
        return apart
    name = spoken_channel(defense.channel, settings) if channel is None else channel.name
    stages = getattr(defense, "client_side", ())
    if stages and trainer is not None:
        return (
            f"{stages[0]} changes how clients train, and a trainer of your own does not know it. Leave one of them out."
        )
    if settings.sharpness_radius and name == "rankings":
        return (
            f"Clients of {defense} train which edges to keep, and sharpness-aware steps are for weights. Found "
            f"sharpness_radius={settings.sharpness_radius}. Leave it out."
        )
    changes = stages or (defense.stages[:1] if getattr(defense, "protection", None) else ())
    if changes and name not in ("dense", "rewards"):
        return f"{changes[0]} changes updates, and clients of the channel {name!r} send something else. Leave it out."
    if channel is None and name not in CHANNELS:
        return f"{defense} speaks the channel {name!r}. Channels that exist: {', '.join(CHANNELS)}."
    for wanted, sent in (("distillation", "predictions"), ("virtual_data", "virtual_data")):
        given = getattr(settings, wanted) is not None
        if channel is None and given != (name == sent):
            return (
                f"{defense} speaks the channel {name!r}, and clients send {sent.replace('_', ' ')} where the "
                f"federation has settings of `{wanted}`, which this one has{' them' if given else ' none'}."
            )
    if attack is not None and not attack.fits(name):
        return (
            f"{attack} cannot meet {defense}: clients speak the channel {name!r}, and the attack makes other messages, "
            "or several identities with a disguise."
        )
    unfit = [str(fault) for fault in faults if not fault.fits(name)]
    if unfit:
        return (
            f"{', '.join(unfit)} cannot happen to messages of {defense}, those of the channel {name!r}. Leave it out."
        )
    for transform in transforms:
        if transform.channels is not None and name not in transform.channels:
            return (
                f"{type(transform).__name__} can be applied to messages of the channels "
                f"{', '.join(transform.channels)}. Found the channel {name!r}, for {defense}. Leave it out."
            )
    if not settings.server.asynchronous:
        return None
    old = [str(fault) for fault in faults if fault.strikes("age")]
    if old:
        return (
            f"{', '.join(old)} decides how old the models are that clients compute with; with an asynchronous server "
            "their working times do. Leave it out, or take a synchronous server."
        )
    scales = (channel or channel_named(name)).scales
    if not scales and settings.server.staleness != "constant":
        return (
            f"Messages of the channel {name!r} cannot be multiplied by a staleness weight. Found "
            f"server.staleness={settings.server.staleness!r}. Take `staleness: constant`."
        )
    if not isinstance(settings.server.staleness, str) and name != "dense":
        return (
            f"`staleness: {{method: {settings.server.staleness.method}}}` corrects updates of one common model. Found "
            f"messages of the channel {name!r}. Take `staleness: constant`."
        )
    return None


def assemble(
    population: Population,
    settings: Federation,
    defense: Any,
    *,
    attack: Attack | SybilAttack | PlacedAttack | None = None,
    f: int = 0,
    faults: Sequence[Fault] = (),
    aims: Sequence[Attack] = (),
    evasions: Sequence[Evasion] = (),
    evasion_samples: int = 0,
    reference: bool = False,
    spying: Spying | None = None,
    seed: int = 0,
    transforms: Sequence[Transform] = (),
    observers: Sequence[Observer] = (),
    trainer: Trainer | None = None,
    channel: type[Channel] | None = None,
    topology: Callable[[Setup, Channel], Topology] | None = None,
    declared: int | None = None,
    equivocation: bool = True,
    root: Path | None = None,
    twin: Any = None,
    roles: int | None = None,
    protector: type[Protector] | None = None,
    opinions: bool = False,
) -> Simulation:
    """Put together the simulation of a federation under attack.

    Parameters
    ----------
    population : the task made ready, with the data of all clients and the initial model
    settings : the rules of the federation
    defense : the aggregator or pipeline; its state belongs to this simulation
    attack : what the malicious clients do, and under which identities they act; None when they do nothing
    f : the number of malicious clients; at least one client has to be honest
    faults : what goes wrong without malice
    aims : poisonings of data whose aims are measured for comparison, whether they are carried out or not
    evasions, evasion_samples : attacks on test samples of the trained model, and the number of these samples
    reference : whether to measure also how stable the step is, and what training on all data at once reaches
    spying : who watches the clients, and with which attacks on privacy; None when nobody does
    seed : decides everything random; the same seed gives the same clients, batches and identities to every defense
    transforms : additional transforms, applied after those that the settings and the attack ask for
    observers : additional observers, which come after the usual ones
    trainer : computes what clients compute; it replaces the trainer that the settings name
    channel : what a message is; it replaces the channel that the defense names
    twin : a second copy of the defense, elsewhere, that is asked the same in other orders and under other names; see
        :mod:`robustfl.federation.observers.conduct`
    roles : the seed that decides who is malicious and who is spied on; it is `seed` when it is not given
    protector : carries out the mechanism that the defense begins with; it replaces the one that the mechanism asks for
    opinions : whether the prices of a mechanism are compared with those of Opacus, where it has an accountant for them
    topology : makes a topology from the setup and the channel; it replaces the one that the settings ask for
    declared : the number of malicious peers that rules of peers are told, by default f
    equivocation : whether malicious peers may send different letters to different neighbours in a round
    root : the folder of data files, for graphs of peers that are in one

    Raises
    ------
    ParameterError : the parts cannot be combined, `f` is out of range, or the population is for another number of
        clients
    """
    from robustfl.federation.clients.work import ClientWork
    from robustfl.federation.engine import Simulation
    from robustfl.federation.observers.conduct import Conduct
    from robustfl.federation.observers.peers.conduct import MixerConduct
    from robustfl.federation.peers.topology import PeerToPeer
    from robustfl.federation.setup import set_up
    from robustfl.federation.spying.siblings import Kin

    reason = refusal(
        defense, settings, attack=attack, faults=faults, channel=channel, transforms=transforms, trainer=trainer
    )
    if reason is not None:
        raise ParameterError(reason)
    stages = getattr(defense, "client_side", ())
    if spying is not None:
        spying.require_plain_steps(settings)
    if settings.topology is not None:
        if spying is not None:
            raise ParameterError("Spies watch clients of a server, which peers of a `topology` do not have.")
        defense = rule_for(defense, settings)
    spoken = channel or channel_named(spoken_channel(defense.channel, settings))
    asked = settings
    given: dict[str, Any] = {"attack": attack, "f": f, "faults": faults, "seed": seed, "roles": roles}
    given |= {"declared": declared, "root": root}
    setup = set_up(population, settings, spoken.name, **given)
    course = course_for(setup, defense, protector)
    if course is not None and course.rounds < asked.rounds:  # the training is played as one of fewer rounds
        settings = settings.model_copy(update={"rounds": course.rounds})
        setup = set_up(population, settings, spoken.name, **given)
    for each in (defense, twin):
        tell = getattr(each, "shaped", None)
        if tell is not None:
            tell({name: shape.numel() for name, shape in population.shapes.items()})
    trusted = getattr(defense, "wants_trusted", False)
    noised = None if course is None else course.work(setup, trusted=trusted)
    if noised is not None and stages:
        raise ParameterError(
            f"{stages[0]} changes how clients train, and {defense.stages[0]} trains them in its own way. Leave one of "
            "them out."
        )
    work = noised or ClientWork(setup, trusted=trusted, trainer=trainer, stages=stages)
    protecting = None if course is None else course.begin(setup, defense, twin)
    chosen = [*transforms_for(setup, stages), *([] if protecting is None else [protecting]), *transforms]
    talk = spoken(setup, work, defense, chosen)
    around = topology_for(setup, talk, equivocation) if topology is None else topology(setup, talk)
    conduct = Conduct(talk, settings.rounds, twin)
    if isinstance(around, PeerToPeer):
        around.asked = MixerConduct(around.mixer, conduct, around.mixings, around.rules.short).mix

    def sibling(others: Population, other_seed: int, train: Trainer | None) -> Simulation:
        """A federation like this one, with other data and other randomness."""
        own = copy.deepcopy(defense) if isinstance(defense, Defense) else defense
        own.reset()
        return assemble(
            others,
            asked,
            own,
            attack=attack,
            f=f,
            faults=faults,
            seed=other_seed,
            transforms=transforms,
            trainer=train,
            channel=channel,
            topology=topology,
            declared=declared,
            equivocation=equivocation,
            root=root,
            protector=protector,
            roles=setup.roles,
        )

    # Clients that train in ways of their own cannot train together with those of other federations.
    alone = bool(stages) or noised is not None
    watching = observers_for(
        setup,
        talk,
        around,
        conduct,
        aims=aims,
        evasions=evasions,
        evasion_samples=evasion_samples,
        reference=reference,
        spying=spying,
        kin=Kin(make=sibling, copied=isinstance(defense, Defense) and not alone, trainer=trainer),
    )
    if protecting is not None:
        from robustfl.federation.observers.privacy import PrivacyBudget

        watching.append(PrivacyBudget(protecting, asked.rounds, opinions=opinions))
    return Simulation(setup, around, talk, chosen, conduct, [*watching, *observers])


def course_for(setup: Setup, defense: Any, kind: type[Protector] | None = None) -> Course | None:
    """What is settled, before a training, of the mechanism that a defense begins with; None without a mechanism.

    Raises ParameterError when the mechanism cannot work with the rule or in this federation.
    """
    protection = getattr(defense, "protection", None)
    if protection is None:
        return None
    from robustfl.federation.mechanisms.choosing import course_of

    return course_of(protection, setup, defense, kind)


def transforms_for(setup: Setup, stages: Sequence[ClientSide] = ()) -> list[Transform]:
    """The transforms that the settings, the attack and the defenses that clients carry out ask for."""
    from robustfl.federation.repair import repair_for
    from robustfl.federation.transforms import ClientDefenses, Disguise, StalenessWeights

    found: list[Transform] = [ClientDefenses(stages, setup)] if stages else []
    server = setup.settings.server
    if server.asynchronous and server.staleness != "constant":
        found.append(StalenessWeights(server) if isinstance(server.staleness, str) else repair_for(setup))
    if setup.identities is not None and setup.identities.disguise and setup.network is None:
        found.append(Disguise(setup.members))
    return found


def topology_for(setup: Setup, channel: Channel, equivocation: bool = True) -> Topology:
    """The network that the settings ask for, or one server.

    The mode of a server says who is heard when, and the channel says who owns a model.
    """
    if setup.network is not None:
        from robustfl.federation.peers.sampled import SampledPeers
        from robustfl.federation.peers.topology import PeerToPeer

        kind = PeerToPeer if setup.network.samples is None else SampledPeers
        return kind(setup, channel, equivocation)
    from robustfl.federation.channels.predictions import Predictions
    from robustfl.federation.topologies.asynchronous import schedule_for
    from robustfl.federation.topologies.distilled import Distilled
    from robustfl.federation.topologies.ownership import CommonModel, Ownership
    from robustfl.federation.topologies.rewards import Rewards
    from robustfl.federation.topologies.server import Server

    ownership: Ownership
    if isinstance(channel, Predictions):
        ownership = Distilled(setup, channel)
    else:
        ownership = Rewards(setup, channel) if channel.name == "rewards" else CommonModel(setup, channel)
    return Server(setup, channel, schedule_for(setup), ownership)


def observers_for(
    setup: Setup,
    channel: Channel,
    topology: Topology,
    conduct: Conduct,
    *,
    aims: Sequence[Attack] = (),
    evasions: Sequence[Evasion] = (),
    evasion_samples: int = 0,
    reference: bool = False,
    spying: Spying | None = None,
    kin: Kin | None = None,
) -> list[Observer]:
    """The observers of every simulation and those of this kind; they hear and report in the order of the list."""
    from robustfl.federation.observers.accuracy import Accuracy
    from robustfl.federation.observers.aims import Aims
    from robustfl.federation.observers.central import Central
    from robustfl.federation.observers.detection import Detection
    from robustfl.federation.observers.evasion import EvasionTests
    from robustfl.federation.observers.fairness import Fairness
    from robustfl.federation.observers.leakage import Leakage
    from robustfl.federation.observers.membership import Membership
    from robustfl.federation.observers.served import Served
    from robustfl.federation.observers.stability import Stability
    from robustfl.federation.observers.staleness import Staleness
    from robustfl.federation.observers.standalone import standalone_accuracies
    from robustfl.federation.observers.timing import Timing
    from robustfl.federation.observers.traffic import Traffic
    from robustfl.federation.peers.topology import PeerToPeer
    from robustfl.federation.peers.watching import peer_observers
    from robustfl.federation.topologies.rewards import OwnModels

    population, settings, seed = setup.population, setup.settings, setup.seed
    accuracy = Accuracy(population, settings)
    among_peers: list[Observer] = []
    if isinstance(topology, PeerToPeer):
        accuracy, among_peers = peer_observers(topology, channel, reference=reference)
    found: list[Observer] = [
        accuracy,
        Timing(setup.strike, accuracy),
        Aims(population, setup.attack, aims, merged=settings.ends_merged),
        Detection(setup.members.malicious),
        conduct,
        Served(setup),
        Traffic(channel, topology, setup.faults),
    ]
    if settings.server.asynchronous:
        found.append(Staleness())
    found += among_peers
    ownership = getattr(topology, "ownership", None)
    if isinstance(ownership, OwnModels):
        alone = partial(standalone_accuracies, population, settings, channel.defense, seed)
        found.append(Fairness(setup, ownership, alone))
    if reference and channel.name == "dense":
        found.append(Stability(setup))
        if settings.adversarial_training is None:  # learning from harder samples reaches less, and is meant to
            found.append(Central(setup))
    if evasions:
        found.append(EvasionTests(setup.clean, accuracy, evasions, evasion_samples, seed))
    if spying is not None:
        samples, members = spying.only(members=False), spying.only(members=True)
        if samples.attacks:
            found.append(Leakage(setup, channel, samples))
        if members.attacks and kin is not None:
            found.append(Membership(setup, channel, members, kin))
    return found
