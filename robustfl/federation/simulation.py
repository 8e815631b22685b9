"""The round: sample, honest messages, adversary, faults, defense, apply, measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.errors import InfeasibleError, ParameterError
from robustfl.federation.briefing import briefing
from robustfl.federation.clients.attackers import attackers_of
from robustfl.federation.clients.hardening import Hardening
from robustfl.federation.clients.participants import Members
from robustfl.federation.clients.poisoning import poisoning_for, require_labels
from robustfl.federation.clients.training import measure, predict, trainer_for
from robustfl.federation.clients.trusted import TrustedSamples
from robustfl.federation.faults import Faults, told_apart
from robustfl.federation.observers.aims import Aims
from robustfl.federation.observers.conduct import Conduct
from robustfl.federation.observers.detection import Detection
from robustfl.federation.observers.served import side_effects
from robustfl.federation.observers.stopwatch import Stopwatch
from robustfl.federation.settings import Federation
from robustfl.federation.streams import stream
from robustfl.federation.task import Population
from robustfl.threats import Adversary, Attack, Fault, Knowledge, SybilAttack, UpdateAttack
from robustfl.threats.identities import divided
from robustfl.threats.knowledge import Relabelling

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]


@dataclass(kw_only=True)
class Trace:
    """What a simulation leaves behind.

    Attributes
    ----------
    accuracy, loss : (round, value) on the test set; the round counts finished rounds
    malicious : ids of the malicious clients
    malicious_share : mean share of the aggregation weights that malicious rows got, None for rules without weights
    rejected_rows : rows that the defense refused, over all rounds; `lost_rows`: messages lost to faults
    held_rounds : rounds in which too few rows were left, so that the model stayed as it was
    diverged : whether the weights, or the loss on the test set, stopped being finite
    seconds : time by phase
    more : name -> number, or a list of numbers: what :class:`Detection`, :func:`side_effects` and the simulation tell
    """

    accuracy: list[tuple[int, float]] = field(default_factory=list)
    loss: list[tuple[int, float]] = field(default_factory=list)
    malicious: list[int] = field(default_factory=list)
    malicious_share: float | None = None
    rejected_rows: int = 0
    lost_rows: int = 0
    held_rounds: int = 0
    diverged: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


class Simulation:
    """A federation under attack, behind a server with a defense.

    For a defense that wants a trusted update, the server trains on a few clean samples of its own, in the way of the
    clients: `trusted` is what it computed in the present round, None for all other defenses.

    Parameters
    ----------
    population : the task made ready, with everybody's data and the initial model
    settings : the rules of the federation
    defense : the aggregator or pipeline; its state belongs to this simulation
    attack : what the malicious clients do, and under which identities; None for nothing
    f : number of malicious clients of all; somebody has to be honest
    faults : what goes wrong without malice
    aims : poisonings of data, carried out or not, whose aims are measured for comparison
    seed : decides everything random; the same seed gives the same clients, batches and identities to every defense

    Raises
    ------
    ParameterError : `f` out of range, or a population for another number of clients
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        defense: Aggregator,
        *,
        attack: Attack | SybilAttack | None = None,
        f: int = 0,
        faults: Sequence[Fault] = (),
        aims: Sequence[Attack] = (),
        seed: int = 0,
    ) -> None:
        if not 0 <= f < settings.clients:
            raise ParameterError(f"`f` should satisfy 0 <= f < clients. Found f={f}, clients={settings.clients}.")
        if population.clients != settings.clients:
            raise ParameterError(
                f"The population should have as many clients as the federation. Found {population.clients} and "
                f"{settings.clients}. Prepare the task with clients={settings.clients}."
            )
        self.settings, self.defense, self.faults = settings, defense, faults
        self.failures = Faults(faults, settings.clients, defense.channel, seed)
        clean, population = population, self.failures.data(population)
        self.population = population
        if isinstance(attack, SybilAttack) and not attack.fits(defense.channel):
            raise ParameterError(
                f"{attack!r} cannot meet {defense!r}: several identities (with a disguise) do not fit the channel "
                f"{defense.channel!r}. Take the attack alone."
            )
        identities, self.attack = divided(attack if f else None)
        self.f = f
        self.adversary = Adversary(self.attack) if isinstance(self.attack, UpdateAttack) else None
        self.rng = {name: stream(seed, name) for name in ("identities", "sampling", "batches", "attack")}
        order = self.rng["identities"].permutation(settings.clients)
        self.members = Members(population, settings, identities, order, f, seed)
        self._is_malicious = self.members.malicious
        self.malicious: Ids = np.flatnonzero(self._is_malicious)
        self.weights = population.initial.clone()
        self.previous_weights: Tensor | None = None
        self._train = trainer_for(population, settings)
        self._momentum = (
            population.initial.new_zeros((len(self.members), population.d)) if settings.client_momentum else None
        )
        self.poisoning = poisoning_for(population, self.members, self.attack, self.rng["attack"])
        self.attackers = attackers_of(population, settings, self.members, self.attack, self.poisoning, seed)
        self._server_hardening = Hardening(population, settings, seed, who="trusted ", members=1)
        self.starts: Tensor | None = None
        self._lesson: tuple[Tensor, Tensor, Tensor, Tensor | None]  # what clients computed with in this round
        self._samples = TrustedSamples(clean, settings, seed) if defense.wants_trusted else None
        self.trusted: Tensor | None = None
        self.answer: Aggregation | None = None
        self.listeners: list[Callable[[int, Aggregation], None]] = []  # hear each round's number and answer
        self._optimizer = self._server_optimizer()
        self.detection = Detection(self._is_malicious)
        self.conduct = Conduct(defense, settings.rounds)
        self.trace = Trace(malicious=np.unique(self.members.leaders[self.malicious]).tolist())
        self.aims = Aims(population, self.attack, aims)
        self.watch = Stopwatch(population.device)

    def run(self) -> Trace:
        """Play all rounds, or until the model diverges."""
        self.watch = Stopwatch(self.population.device)
        for number in range(self.settings.rounds):
            self.play_round(number)
            last = number + 1 == self.settings.rounds
            if last or (number + 1) % self.settings.evaluate_every == 0:
                if not self.measure(number + 1):
                    break
                with self.watch.phase("evaluate"):
                    self.aims.measure(self.served(), number + 1)
        with self.watch.phase("evaluate"):
            self.trace.more |= self.aims.report() | self.detection.report() | self.conduct.report() | side_effects(self)
        self.trace.lost_rows = self.failures.mailbox.lost
        self.trace.more |= self.failures.mailbox.report()
        self.trace.seconds = self.watch.seconds()
        self.trace.malicious_share = self.detection.malicious_share()
        return self.trace

    def play_round(self, number: int) -> None:
        """One round, from sampling to the server's step."""
        self.members.number = number
        malicious, honest = self.sample()
        self.aims.attacked(number, malicious)
        with self.watch.phase("compute"):
            own, messages = self.honest_messages(number, malicious, honest)
            self.trusted = self.trusted_message()
        with self.watch.phase("attack"):
            messages = self.attacked(number, malicious, honest, own, messages)
        ids = np.concatenate([malicious, honest])
        messages, ids = self.failures.deliver(number, messages, ids)
        with self.watch.phase("aggregate"):
            aggregate = self.aggregated(messages, ids)
        if self.answer is not None:
            for listen in self.listeners:
                listen(number, self.answer)
        self.detection.observe(ids, self.answer)
        if aggregate is not None:
            self.apply(aggregate)

    def sample(self) -> tuple[Ids, Ids]:
        """The malicious and the honest members of this round, each in ascending order."""
        present, rng = self.members.present(), self.rng["sampling"]
        everybody = int(present.sum())
        k = self.settings.sampled(everybody)
        if k == everybody:
            return np.flatnonzero(present & self._is_malicious), np.flatnonzero(present & ~self._is_malicious)
        order = rng.permutation(len(self.members))
        order = order[present[order]]
        if self.settings.malicious_per_round == "sampled":
            chosen = np.sort(order[:k])
        else:
            bad, good = order[self._is_malicious[order]], order[~self._is_malicious[order]]
            rows = self.settings.malicious_rows(len(bad), everybody)
            chosen = np.sort(np.concatenate([bad[:rows], good[: k - rows]]))
        mask = self._is_malicious[chosen]
        return chosen[mask], chosen[~mask]

    def honest_messages(self, number: int, malicious: Ids, honest: Ids) -> tuple[Tensor | None, Tensor]:
        """What honest clients send [h, d], and what the malicious would send honestly [f, d] where anybody asks."""
        settings, population = self.settings, self.population
        poisoned = self.poisoning is not None and self.poisoning.active(number)
        drawn = self.members.draw(self.rng["batches"], settings.local_steps * settings.batch_size, poisoned)
        apart = self.attackers is not None and len(malicious) > 0 and self.attackers.active(number)
        wanted = len(malicious) > 0 and not apart and (len(honest) == 0 or self._own_messages_wanted(number))
        ids, place = self.members.trained(np.concatenate([malicious, honest]) if wanted else honest)
        index = torch.as_tensor(drawn[ids].reshape(-1), device=population.device)
        shape = (len(ids), settings.local_steps, settings.batch_size)
        features = population.features.index_select(0, index).reshape(*shape, *population.features.shape[1:])
        labels = population.labels.index_select(0, index).reshape(shape)
        if self.poisoning is not None and poisoned and wanted:
            features, labels = self.poisoning(features, labels, index.reshape(shape), ids)
        features, self.starts = self.members.hardened(features, ids)
        messages = self.client_messages(number, ids, features, labels)
        if len(place) > len(ids):  # identities that send one update
            messages = messages[torch.as_tensor(place, device=messages.device)]
        if self.attackers is not None and apart:
            own = self.attackers.messages(number, malicious, drawn, self.weights, self.previous_weights)
            return own.to(messages), messages
        split = len(malicious) if wanted else 0
        return messages[:split] if wanted else None, messages[split:]

    def client_messages(self, number: int, ids: Ids, features: Tensor, labels: Tensor) -> Tensor:
        """What clients make of their batches: [k, steps, batch, ...], [k, steps, batch] -> [k, d]."""
        self._lesson = (self.received_models(number, ids), features, labels, self.starts)
        return self._with_momentum(self._as_messages(self._train(*self._lesson)), ids)

    def received_models(self, number: int, ids: Ids) -> Tensor:
        """The models that clients start from: one for all [d], or one for each [k, d]."""
        return self.failures.models(self.weights, number, ids)

    def relabelled(self, change: Relabelling, honest: Ids) -> Tensor:
        """What the honest clients of this round would have sent [h, d] with other labels, momentum left out.

        Raises AttackError where `change` makes no labels of labels.
        """
        models, features, labels, starts = self._lesson
        own = slice(len(features) - len(honest), None)  # honest clients come last
        models, features, labels = models if models.ndim == 1 else models[own], features[own], labels[own]
        starts, classes = None if starts is None else starts[own], self.population.classes
        changed = torch.as_tensor(change(labels.clone(), classes))
        require_labels(self.attack, changed.cpu().numpy(), tuple(labels.shape), classes)
        return self._as_messages(self._train(models, features, changed.to(labels), starts))

    def trusted_message(self) -> Tensor | None:
        """What the server itself would send [d] as a client with its own samples, or None where nobody asks."""
        if self._samples is None:
            return None
        features, labels = self._samples.draw()
        features, starts = self._server_hardening(features, [0])
        return self._samples.with_momentum(self._as_messages(self._train(self.weights, features, labels, starts))[0])

    def attacked(self, number: int, malicious: Ids, honest: Ids, own: Tensor | None, messages: Tensor) -> Tensor:
        """All messages of the round [k, d], malicious rows first.

        Where chance samples nobody honest there is nothing to craft against: malicious clients send their own.
        """
        if not len(malicious):
            return messages
        if self.adversary is None or not len(honest):
            assert own is not None
            return torch.cat([self.members.disguised(own, self.members.names(malicious)), messages])
        crafted = self.adversary.craft(briefing(self, number, malicious, honest, own, messages))
        return torch.cat([self.members.disguised(crafted, self.members.names(malicious)), messages])

    def aggregated(self, messages: Tensor, ids: Ids) -> Tensor | None:
        """The defense's answer [d], or None in a round that too few rows have reached; `answer` is all of it."""
        self.answer = None
        if not len(ids):
            self.trace.held_rounds += 1
            return None
        try:
            names = told_apart(self.members.names(ids).tolist())
            answer = self.answer = self.conduct.aggregate(messages, names, self.trusted, self.members.number)
        except InfeasibleError:
            self.trace.held_rounds += 1
            self.trace.rejected_rows += int((~messages.isfinite().all(dim=1)).sum())
            return None
        self.trace.rejected_rows += int(answer.rejected.sum())
        value: Tensor = answer.value
        return value

    def apply(self, aggregate: Tensor) -> None:
        """The server's step: against a gradient, along a delta."""
        self.previous_weights = self.weights.clone()
        self.weights.grad = aggregate if self.settings.message == "gradient" else -aggregate
        self._optimizer.step()

    def message_bytes(self) -> tuple[float, float]:
        """Bytes that a client sends, and gets, in a round."""
        size = self.population.initial.element_size() * self.population.d
        return size, size

    def predict(self, features: Tensor) -> Tensor:
        """The logits of the model that comes of it all: [m, ...] -> [m, classes], differentiable in the features."""
        return predict(self.population, self.weights, features)

    def served(self) -> Tensor:
        """The model [1, d] that all honest clients get, or the model of each [h, d]."""
        return self.weights[None]

    def measure(self, finished: int) -> bool:
        """Accuracy and loss after `finished` rounds; False when the model is no longer finite, which ends the run."""
        with self.watch.phase("evaluate"):
            finite = bool(self.weights.isfinite().all())
            accuracy, loss = measure(self.population, self.weights) if finite else (0.0, math.inf)
        if not math.isfinite(loss):  # no defense lets the weights become infinite: it refuses all rows before
            self.trace.diverged = True
            return False
        self.trace.accuracy.append((finished, accuracy))
        self.trace.loss.append((finished, loss))
        return True

    def _own_messages_wanted(self, number: int) -> bool:
        """Whether the malicious clients' honest messages matter in this round, or in a later one through momentum."""
        if self.attack is None or self.adversary is None:
            return True
        if self._momentum is not None and (self.attack.every > 1 or self.attack.stop_round is not None):
            return True
        return Knowledge.OWN in self.attack.required_knowledge() or not self.attack.active(number)

    def _as_messages(self, total: Tensor) -> Tensor:
        """Sums of gradients over the local steps [k, d] as messages, in place."""
        settings = self.settings
        if settings.message == "delta":
            return total.mul_(-settings.local_learning_rate)
        return total.div_(settings.local_steps) if settings.local_steps > 1 else total

    def _with_momentum(self, messages: Tensor, ids: Ids) -> Tensor:
        if self._momentum is None:
            return messages
        rows = torch.as_tensor(ids, device=messages.device)
        updated = self._momentum.index_select(0, rows).lerp_(messages, 1.0 - self.settings.client_momentum)
        self._momentum.index_copy_(0, rows, updated)
        return updated

    def _server_optimizer(self) -> torch.optim.Optimizer:
        server = self.settings.server
        if server.optimizer == "adam":
            return torch.optim.Adam([self.weights], lr=server.learning_rate)
        return torch.optim.SGD([self.weights], lr=server.learning_rate, momentum=server.momentum)
