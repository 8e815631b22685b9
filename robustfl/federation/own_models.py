"""Federations in which every client keeps a model of its own, and what clients reach without any federation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.clients.training import measure, predict
from robustfl.federation.settings import Federation
from robustfl.federation.simulation import Ids, Simulation
from robustfl.federation.task import Population

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation import Aggregator

Floats = NDArray[np.float64]


class OwnModels(Simulation):
    """A federation without a common model: clients start alike, train their own models, and never exchange those.

    A client's own step is the message that it computed: a delta as it is, a gradient times the server's learning
    rate. What else a client gets is up to subclasses. Accuracy and loss are means over the honest clients' models; the
    server's model (`weights`) is what would have come of all aggregates in full.
    """

    def __init__(self, population: Population, settings: Federation, defense: Aggregator, **values: Any) -> None:
        super().__init__(population, settings, defense, **values)
        self.models = population.initial.repeat(settings.clients, 1)  # [n, d]
        self.honest: Ids = np.flatnonzero(~self._is_malicious)
        self._measured: Floats | None = None
        self._computed: tuple[Ids, Tensor] = (np.empty(0, dtype=np.int64), self.models[:0])

    def client_messages(self, number: int, ids: Ids, features: Tensor, labels: Tensor) -> Tensor:
        messages = super().client_messages(number, ids, features, labels)
        self._computed = (ids, messages)
        return messages

    def received_models(self, number: int, ids: Ids) -> Tensor:
        return self.models[ids]

    def step(self, kept: Mapping[int, float]) -> None:
        """Every client that trained in this round moves its model; `kept` says whose step is shortened to what."""
        ids, messages = self._computed
        rate = -self.settings.server.learning_rate if self.settings.message == "gradient" else 1.0
        factors = messages.new_tensor([rate * kept.get(client, 1.0) for client in ids.tolist()])
        self.models[ids] += factors[:, None] * messages

    def accuracies(self, ids: Ids) -> Floats:
        """Accuracy and loss [k, 2] of these clients' models on the test set."""
        return np.array([measure(self.population, model) for model in self.models[ids]])

    def predict(self, features: Tensor) -> Tensor:
        """The logits of the honest client's model that was best at the last measurement."""
        best = 0 if self._measured is None else int(self._measured[:, 0].argmax())
        return predict(self.population, self.models[self.honest[best]], features)

    def served(self) -> Tensor:
        """The models [h, d] of the honest clients."""
        return self.models[self.honest]

    def measure(self, finished: int) -> bool:
        """Mean accuracy and loss of the honest clients' models; False when one of them is no longer finite."""
        with self.watch.phase("evaluate"):
            self._measured = self.accuracies(self.honest)
            accuracy, loss = self._measured.mean(axis=0).tolist()
            if not (np.isfinite(loss) and bool(self.models[self.honest].isfinite().all())):
                self.trace.diverged = True
                return False
        self.trace.accuracy.append((finished, accuracy))
        self.trace.loss.append((finished, loss))
        return True


class Alone(OwnModels):
    """Every client trains by itself: with the batches and steps of the federation, and nothing from anybody."""

    def play_round(self, number: int) -> None:
        self.honest_messages(number, *self.sample())
        self.step({})


_standalone: WeakKeyDictionary[Population, dict[tuple[str, int], Floats]] = WeakKeyDictionary()


def standalone_accuracies(population: Population, settings: Federation, defense: Aggregator, seed: int) -> Floats:
    """The accuracy [n] that each client reaches alone with the same budget; computed once a population and seed.

    `defense` is not asked anything.
    """
    known = _standalone.setdefault(population, {})
    key = (settings.model_dump_json(exclude={"evaluate_every"}), seed)
    if key not in known:
        alone = Alone(population, settings, defense, seed=seed)
        for number in range(settings.rounds):
            alone.play_round(number)
        known[key] = alone.accuracies(np.arange(settings.clients))[:, 0]
    return known[key]
