"""What the observer of a simulation sees, and the samples behind it, kept apart."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.errors import ParameterError
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
            own_models=channel.name == "predictions",
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
        self._order = self.order(setup)
        wanted = [attack.required_knowledge() for attack in self.attacks]
        self._remembers = any(Capability.HISTORY in capability for capability in wanted)
        self._compared = any(stage.compares_models for stage in channel.defense.stages)
        self._last: dict[int | None, Tensor] = {}
        self._copies: dict[int, Tensor] = {}
        self._hidden = False
        self.passive: list[Seen] = []
        self._active: dict[PrivacyAttack, list[Seen]] = {}

    @staticmethod
    def order(setup: Setup) -> Ids:
        """The honest members in the order in which they are spied on."""
        return stream(setup.roles, "privacy targets").permutation(setup.honest)

    def hear(self, round: Round) -> None:
        """Take note of a round that has ended."""
        watched = round.number in self.watched
        if self._spying.observer == "public":
            if round.last:
                self.passive.append(self._model(round.receivers[0].model.weights, round.finished))
            return
        if self._spying.observer == "participant":
            if watched and len(round.honest):
                model = _model_of(round, self._asked(round)[0])
                if self.about.own_models:  # which nobody sees; what all hear is what the server answers
                    model = round.receivers[0].model.weights
                self.passive.append(self._model(model, round.number))
            return
        if not self.watched or round.number > self.watched[-1] or not len(round.honest):
            return
        if watched:
            self._watch(round)
        if self._remembers:
            rows = dict(zip(round.honest.tolist(), round.sent, strict=True))
            self._last |= {member: row.clone() for member, row in rows.items()}
            self._last[None] = round.sent.sum(dim=0)

    @property
    def changes(self) -> list[str]:
        """What clients do to their messages so that the true samples do not explain them, by name.

        Noise at the server is not among it, nor is clipping whole messages, which keeps their directions.
        """
        defense = self._channel.defense
        stages = list(getattr(defense, "client_side", ()))
        protection = getattr(defense, "protection", None)
        if protection is not None and (
            protection.place == "steps" or (protection.place != "server" and protection.noise_multiplier != 0)
        ):
            stages.append(defense.stages[0])
        found = [str(stage) for stage in stages]
        return [*found, "virtual data"] if self._channel.name == "virtual_data" else found

    @property
    def blind(self) -> str:
        """Why an observer that has seen nothing has seen nothing."""
        if self._hidden:
            return (
                f"the observer {self._spying.observer!r} sees no single message here, as they are added before anybody "
                "gets them. Watch as the observer 'sum'"
            )
        return "no honest client took part in a watched round"

    def require_messages(self) -> None:
        """Raise ParameterError where the observer has seen nothing because nobody sees single messages."""
        if self._hidden:
            raise ParameterError(self.blind)

    def seen(self, attack: PrivacyAttack) -> list[Seen]:
        """What an attack sees of the training, in the order of rounds."""
        return self._active.get(attack, []) if Capability.ACTIVE in attack.required_knowledge() else self.passive

    def facts(self, attack: PrivacyAttack, seen: list[Seen]) -> PrivacyFacts:
        """What the machine knows for an attack that sees this; the truth stays here, but for labels."""
        return PrivacyFacts(
            observer=self._spying.observer,
            sightings=[sighting for sighting, _ in seen],
            circumstances=self.about,
            network=self.network,
            auxiliary=(self._setup.clean.test_features, self._setup.clean.test_labels),
            labels=_stacked([truth.labels for _, truth in seen]),
            rng=stream(self._setup.seed, f"privacy {attack!r}"),
        )

    def _unfit(self, attack: PrivacyAttack) -> str | None:
        if self._channel.name not in attack.channels:
            return f"it does not understand messages of the channel {self._channel.name!r}"
        wanted = attack.required_knowledge()
        added = self._spying.observer == "sum" or Capability.ACTIVE in wanted
        if self._channel.name == "virtual_data" and added and Capability.SUM in wanted:
            return "samples of several clients have no sum that anybody could see"
        return attack.not_applicable(self.about, self.network)

    def _watch(self, round: Round) -> None:
        targets = [member for member in self._order.tolist() if member in round.honest][: self._spying.targets]
        active = [attack for attack in self.attacks if Capability.ACTIVE in attack.required_knowledge()]
        for attack in active:
            self._active.setdefault(attack, []).extend(self._played(round, attack, targets))
        if len(active) == len(self.attacks):
            return
        if self._spying.observer == "sum":
            models = round.receivers[0].model.weights[None] if self.about.own_models else self._models(round)
            self.passive.append(self._summed(round, round.sent, models, None, round.honest))
        elif round.seen is not None and len(round.seen) == len(round.honest):
            models = self._imitated(round, round.seen, targets)
            self.passive += [self._single(round, round.seen, models, member) for member in targets]
        else:
            self._hidden = True

    def _imitated(self, round: Round, messages: Tensor, targets: list[int]) -> Tensor:
        """The models [h, d] that an observer has of the honest members: their own, or its copies of the targets'."""
        if not self.about.own_models or not targets:
            return self._models(round)
        places = [_at(round, member) for member in targets]
        before = [self._copies.get(member, self._setup.population.initial) for member in targets]
        copies = self._channel.imitated(torch.stack(before), messages[places], round.number)
        assert copies is not None, "clients with models of their own send something that can be imitated"
        self._copies |= dict(zip(targets, copies, strict=True))
        models = copies.new_full((len(round.honest), copies.shape[1]), torch.nan)
        models[places] = copies
        return models

    def _played(self, round: Round, attack: PrivacyAttack, targets: list[int]) -> Iterator[Seen]:
        """What an active observer sees if the watched round is played with the models that the attack chooses.

        Clients that compare their models send nothing if these differ: their messages are zero.
        """
        summed = Capability.SUM in attack.required_knowledge()
        for victim in targets:
            models = self._models(round)
            asked = Sighting(round=round.number, client=victim, senders=(victim,), model=models[_at(round, victim)])
            view = attack.view(self.facts(attack, [(asked, self._truth(round, [victim]))]))
            chosen = [attack.model(view, member) for member in round.honest.tolist()]
            given = torch.stack([own if new is None else new for own, new in zip(models, chosen, strict=True)])
            refused = self._compared and _told_apart(models, given)
            sent = torch.zeros_like(round.sent) if refused else self._sent(round, given)
            if summed:
                seen = self._summed(round, sent, given, victim, [victim] if attack.one_sender() else round.honest)
            else:
                seen = self._single(round, sent, given, victim)
            # Nothing arrives from clients that refuse, and the momentum of nothing is nothing.
            yield (dataclasses.replace(seen[0], previous=None), seen[1]) if refused else seen

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
            samples=self._virtual(round, messages, at),
        )
        return sighting, self._truth(round, [member])

    def _virtual(self, round: Round, messages: Tensor, at: int) -> tuple[Tensor, Tensor] | None:
        """The virtual samples that an honest member has sent; they stand for what it sent, not for what is imagined."""
        if round.virtual is None or round.lesson is None or messages is not round.seen:
            return None
        row = int(round.lesson.place[self._asked(round)[at]])
        return round.virtual[0][row].clone(), round.virtual[1][row].clone()

    def _summed(
        self, round: Round, messages: Tensor, models: Tensor, victim: int | None, counted: Ids | list[int]
    ) -> Seen:
        at = 0 if victim is None else _at(round, victim)  # all have the same model where nobody is singled out
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


def _told_apart(expected: Tensor, given: Tensor) -> bool:
    """Whether clients that should have the same model [h, d] find different hashes of those that they were given."""
    hashes: dict[bytes, bytes] = {}
    for own, new in zip(expected, given, strict=True):
        found = _hash(new)
        if hashes.setdefault(_hash(own), found) != found:
            return True
    return False


def _hash(model: Tensor) -> bytes:
    return hashlib.sha256(model.cpu().numpy().tobytes()).digest()


def _stacked(labels: list[Tensor]) -> Tensor | None:
    """The labels [k, n] of sightings with equally many samples; None where there are none."""
    return torch.stack(labels) if labels and len(labels[0]) else None
