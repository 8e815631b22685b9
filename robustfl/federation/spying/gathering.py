"""What the observer of a simulation sees, and the samples behind it, kept apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.channels.contract import Channel
from robustfl.federation.clients.hardening import feature_range
from robustfl.federation.round import Ids, Round
from robustfl.federation.setup import Setup
from robustfl.federation.spying.plan import Spying
from robustfl.federation.streams import stream
from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The samples [n, *shape] and labels [n] that count as found for a sighting; empty where only a model was seen."""

    features: Tensor
    labels: Tensor


Seen = tuple[Sighting, Truth]
"""A sighting, which attacks may see, and its truth, which they may not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Samples of which attacks on membership speak: half of them are training samples, half are not.

    Attributes
    ----------
    samples : [q, *shape] and [q] the candidates and their labels
    owners : [q] the client that trains on each; -1 for samples on which nobody trains
    auxiliary : the public samples that are left for the attack, and their labels
    """

    samples: tuple[Tensor, Tensor]
    owners: Ids
    auxiliary: tuple[Tensor, Tensor]

    def members(self, sighting: Sighting) -> NDArray[np.bool_]:
        """Which candidates, [q], are training samples of the senders; of anybody where only a model was seen."""
        if not sighting.senders:
            return self.owners >= 0
        counted = (sighting.client,) if sighting.client is not None else sighting.senders
        return np.isin(self.owners, counted)


def pool_of(setup: Setup, clients: Ids) -> Pool:
    """Candidates from the training samples of some clients, and as many of the test set, of which half stays public."""
    population, rng = setup.clean, stream(setup.seed, "privacy candidates")
    order = rng.permutation(len(population.test_labels))
    outside = order[: len(order) // 2]
    owned = [
        (client, sample)
        for client in clients.tolist()
        if client < population.clients
        for sample in population.parts[client].tolist()
    ]
    chosen = rng.permutation(len(owned))[: len(outside)]
    owners = np.array([owned[place][0] for place in chosen] + [-1] * len(chosen), dtype=np.int64)
    inside = torch.as_tensor([owned[place][1] for place in chosen], dtype=torch.int64, device=population.device)
    other, public = (
        torch.as_tensor(part, device=population.device) for part in (outside[: len(chosen)], order[len(outside) :])
    )
    return Pool(
        samples=(
            torch.cat([population.features[inside], population.test_features[other]]),
            torch.cat([population.labels[inside], population.test_labels[other]]),
        ),
        owners=owners,
        auxiliary=(population.test_features[public], population.test_labels[public]),
    )


class Gathering:
    """Collects what the observer sees in the watched rounds, and the truth behind it.

    Memory: for each watched round the models and messages of at most `targets` clients, or one sum. If an attack wants
    HISTORY, also the last message of each honest client until the last watched round.

    Parameters
    ----------
    setup, channel : the simulation
    spying : who watches
    """

    def __init__(self, setup: Setup, channel: Channel, spying: Spying) -> None:
        self._setup, self._channel, self._spying = setup, channel, spying
        self.watched = spying.numbers(setup.settings.rounds)
        population, settings = setup.population, setup.settings
        shape = tuple(population.features.shape[1:])
        self.network = Network(population.module, shape, population.classes)
        low, high = feature_range(population.features)
        self.about = Circumstances(
            shape=shape,
            classes=population.classes,
            low=low,
            high=high,
            images=not population.task.data.tabular,
            clients=settings.clients,
            message=settings.message,
            batch_size=settings.batch_size,
            steps=settings.local_steps,
            learning_rate=settings.local_learning_rate,
            momentum=settings.client_momentum,
        )
        self.attacks: list[PrivacyAttack] = []
        self.unfit: list[str] = []
        for attack in spying.attacks:
            reason = self._unfit(attack)
            if reason is None:
                self.attacks.append(attack)
            else:
                self.unfit.append(f"{attack}: {reason}")
        self._order = stream(setup.seed, "privacy targets").permutation(setup.honest)
        wanted = [attack.required_knowledge() for attack in self.attacks]
        self._remembers = any(Capability.HISTORY in capability for capability in wanted)
        self._last: dict[int | None, Tensor] = {}
        self._passive: list[Seen] = []
        self._active: dict[PrivacyAttack, list[Seen]] = {}

    def hear(self, round: Round) -> None:
        """Take note of a round that has ended."""
        watched = round.number in self.watched
        if self._spying.observer == "public":
            if round.last:
                self._passive.append(self._model(round.receivers[0].model.weights, round.finished))
            return
        if self._spying.observer == "participant":
            if watched and len(round.honest):
                self._passive.append(self._model(_model_of(round, self._asked(round)[0]), round.number))
            return
        if not self.watched or round.number > self.watched[-1] or not len(round.honest):
            return
        if watched:
            self._watch(round)
        if self._remembers:
            rows = dict(zip(round.honest.tolist(), round.sent, strict=True))
            self._last |= {member: row.clone() for member, row in rows.items()}
            self._last[None] = round.sent.sum(dim=0)

    def seen(self, attack: PrivacyAttack) -> list[Seen]:
        """What an attack sees of the training, in the order of rounds."""
        return self._active.get(attack, []) if Capability.ACTIVE in attack.required_knowledge() else self._passive

    def facts(self, attack: PrivacyAttack, seen: list[Seen]) -> PrivacyFacts:
        """What the machine knows for an attack that sees this; the truth stays here, but for labels."""
        candidates, auxiliary = None, (self._setup.clean.test_features, self._setup.clean.test_labels)
        if attack.judges_members:
            candidates, auxiliary = self.pool.samples, self.pool.auxiliary
        return PrivacyFacts(
            observer=self._spying.observer,
            sightings=[sighting for sighting, _ in seen],
            circumstances=self.about,
            network=self.network,
            auxiliary=auxiliary,
            labels=_stacked([truth.labels for _, truth in seen]),
            candidates=candidates,
            rng=stream(self._setup.seed, f"privacy {attack!r}"),
        )

    @cached_property
    def pool(self) -> Pool:
        """The candidates of attacks on membership."""
        targets = self._order[: self._spying.targets]
        return pool_of(self._setup, targets if self._spying.observer in ("server", "wire", "active") else self._order)

    def _unfit(self, attack: PrivacyAttack) -> str | None:
        if self._channel.name not in attack.channels:
            return f"it does not understand messages of the channel {self._channel.name!r}"
        return attack.not_applicable(self.about, self.network)

    def _watch(self, round: Round) -> None:
        targets = [member for member in self._order.tolist() if member in round.honest][: self._spying.targets]
        active = [attack for attack in self.attacks if Capability.ACTIVE in attack.required_knowledge()]
        for attack in active:
            self._active.setdefault(attack, []).extend(self._played(round, attack, targets))
        if len(active) == len(self.attacks):
            return
        if self._spying.observer == "sum":
            self._passive.append(self._summed(round, round.sent, self._models(round), None, round.honest))
        elif round.seen is not None and len(round.seen) == len(round.honest):  # else a transform hides the rows
            self._passive += [self._single(round, round.seen, self._models(round), member) for member in targets]

    def _played(self, round: Round, attack: PrivacyAttack, targets: list[int]) -> Iterator[Seen]:
        """What an active observer sees if the watched round is played with the models that the attack chooses."""
        summed = Capability.SUM in attack.required_knowledge()
        for victim in targets:
            models = self._models(round)
            asked = Sighting(round=round.number, client=victim, senders=(victim,), model=models[_at(round, victim)])
            view = attack.view(self.facts(attack, [(asked, self._truth(round, [victim]))]))
            chosen = [attack.model(view, member) for member in round.honest.tolist()]
            given = torch.stack([own if new is None else new for own, new in zip(models, chosen, strict=True)])
            sent = self._sent(round, given)
            if summed:
                yield self._summed(round, sent, given, victim, [victim] if attack.singles_out else round.honest)
            else:
                yield self._single(round, sent, given, victim)

    def _sent(self, round: Round, models: Tensor) -> Tensor:
        """The messages that honest clients would have sent from other models [h, d]; the training goes on without."""
        lesson, channel = round.lesson, self._channel
        assert lesson is not None
        own = lesson.place[self._asked(round)]
        batches = dataclasses.replace(
            lesson,
            ids=lesson.ids[own],
            place=np.arange(len(own)),
            index=lesson.index[own],
            features=lesson.features[own],
            labels=lesson.labels[own],
            starts=None if lesson.starts is None else lesson.starts[own],
        )
        sent = channel.messages(models, batches, round.number)
        beta = self._setup.settings.client_momentum
        if beta:  # what clients remember of earlier rounds is in what they computed with the honest models
            assert round.computed is not None
            honest = channel.messages(self._models(round), batches, round.number)
            sent = round.computed[own] + (1.0 - beta) * (sent - honest)
        for transform in channel.transforms:
            sent = transform.sent(sent, round.honest, round)
        return sent

    def _single(self, round: Round, messages: Tensor, models: Tensor, member: int) -> Seen:
        at = _at(round, member)
        sighting = Sighting(
            round=round.number,
            client=member,
            senders=(member,),
            model=models[at].clone(),
            message=messages[at].clone(),
            previous=self._last.get(member),
        )
        return sighting, self._truth(round, [member])

    def _summed(
        self, round: Round, messages: Tensor, models: Tensor, victim: int | None, counted: Ids | list[int]
    ) -> Seen:
        at = 0 if victim is None else _at(round, victim)
        sighting = Sighting(
            round=round.number,
            client=victim,
            senders=tuple(round.honest.tolist()),
            model=models[at].clone(),
            message=messages.sum(dim=0),
            previous=self._last.get(None),
        )
        return sighting, self._truth(round, list(counted))

    def _model(self, model: Tensor, number: int) -> Seen:
        features, labels = self._setup.population.features[:0], self._setup.population.labels[:0]
        sighting = Sighting(round=number, client=None, senders=(), model=model.clone())
        return sighting, Truth(features=features, labels=labels)

    def _truth(self, round: Round, members: list[int]) -> Truth:
        assert round.lesson is not None
        rows = [int(round.lesson.place[self._asked(round)[_at(round, member)]]) for member in members]
        features = round.lesson.features[rows].flatten(0, 2)
        return Truth(features=features, labels=round.lesson.labels[rows].flatten())

    def _asked(self, round: Round) -> Ids:
        """The places of the honest members among those whose training was asked for."""
        assert round.lesson is not None
        return np.arange(len(round.lesson.place) - len(round.honest), len(round.lesson.place))

    def _models(self, round: Round) -> Tensor:
        """The models [h, d] from which the honest members started."""
        assert round.lesson is not None
        assert round.models is not None
        if round.models.ndim == 1:
            return round.models.expand(len(round.honest), -1)
        return round.models[round.lesson.place[self._asked(round)]]


def _at(round: Round, member: int) -> int:
    return int(np.searchsorted(round.honest, member))


def _model_of(round: Round, asked: int) -> Tensor:
    assert round.models is not None
    assert round.lesson is not None
    return round.models if round.models.ndim == 1 else round.models[int(round.lesson.place[asked])]


def _stacked(labels: list[Tensor]) -> Tensor | None:
    """The labels [k, n] of sightings with equally many samples; None where there are none."""
    return torch.stack(labels) if labels and len(labels[0]) else None
