"""Rounds in which clients get different parts of the aggregate, as they have deserved: the channel `rewards`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from robustfl.aggregation import Pipeline
from robustfl.errors import ParameterError
from robustfl.federation.own_models import Floats, OwnModels, standalone_accuracies
from robustfl.federation.settings import Federation
from robustfl.federation.simulation import Trace
from robustfl.federation.task import Population
from robustfl.reputation.rewards import cutoffs

if TYPE_CHECKING:
    from robustfl.aggregation import Aggregator

INDEX_BYTES = 4
"""What it takes to say where an entry of a sparse reward belongs."""


@runtime_checkable
class Rewarding(Protocol):
    """What a defense that speaks the channel `rewards` has to offer, beside the contract of every aggregator.

    Its answers tell in `info`, by client: `quotas` (0 to 1, the share of the aggregate that a client gets), `kept`
    (the share of its own step that a client is to make), `reputations`, and `excluded`, the clients shut out for good.
    """

    def begin(self, sizes: Mapping[Hashable, float]) -> None:
        """Forget everything; `sizes` are the clients' numbers of samples."""


class RewardedSimulation(OwnModels):
    """A federation in which a client's reward follows from its standing.

    In a round, every client that takes part trains from its own model and sends what came of it. It then moves its
    model by its own step (cut where the defense says so) and by its reward: in each layer, the entries of largest
    magnitude of the server's step, as many as its quota says. Malicious clients get rewards as well, and whoever is
    excluded trains on alone.

    The trace reports the mean accuracy over honest clients. Its `more` holds, by client: `client_accuracy`,
    `standalone_accuracy` (each by itself with the same budget), `reputations`, `quotas`; `excluded` clients with the
    `excluded_rounds` in which that was decided, and how many are `excluded_honest` and `excluded_malicious`; over
    honest clients `best_accuracy`, `mean_gain` (what they reach together less what they reach alone: where nobody
    gains, everything is fair) and `fairness`, see :func:`collaborative_fairness`.

    Raises
    ------
    ParameterError : the defense offers no :class:`Rewarding`, or as for every simulation
    """

    def __init__(
        self, population: Population, settings: Federation, defense: Aggregator, *, seed: int = 0, **values: Any
    ) -> None:
        super().__init__(population, settings, defense, seed=seed, **values)
        rule = defense.rule if isinstance(defense, Pipeline) else defense
        if not isinstance(rule, Rewarding):
            raise ParameterError(
                f"{rule!r} speaks the channel 'rewards' and should have a method `begin(sizes)`. See "
                f"{Rewarding.__module__}.Rewarding."
            )
        rule.begin({client: float(len(part)) for client, part in enumerate(population.parts)})
        self._seed = seed
        self._standing: dict[str, dict[int, float]] = {"reputations": {}, "quotas": {}}
        self._excluded: dict[int, int] = {}
        self._sent = 0.0

    def play_round(self, number: int) -> None:
        super().play_round(number)
        info = {} if self.answer is None else self.answer.info
        malicious = set(self.malicious.tolist())  # nobody can make them cut their steps
        self.step({client: part for client, part in info.get("kept", {}).items() if client not in malicious})
        if self.answer is not None:
            self._reward(info["quotas"])
        self._standing["reputations"] = info.get("reputations", self._standing["reputations"])
        self._standing["quotas"] |= info.get("quotas", {})
        self._excluded |= {c: number + 1 for c in info.get("excluded", ()) if c not in self._excluded}

    def run(self) -> Trace:
        trace = super().run()
        if not trace.diverged:
            trace.more |= self._report()
        return trace

    def message_bytes(self) -> tuple[float, float]:
        """Bytes that a client sends, and gets, in a round: updates are dense, rewards are sparse where that is less."""
        return super().message_bytes()[0], self._sent / (self.settings.rounds * self.settings.per_round)

    def _reward(self, quotas: Mapping[int, float]) -> None:
        """Each client adds its entries of the server's last step to its own model."""
        assert self.previous_weights is not None
        step, ids = self.weights - self.previous_weights, np.array(list(quotas), dtype=np.int64)
        received, start = step.new_zeros(len(ids)), 0
        for shape in self.population.shapes.values():
            layer = step[start : start + shape.numel()]
            least = layer.new_tensor(cutoffs(layer, quotas.values()))
            mine = layer.abs() >= least[:, None]  # [k, size of the layer]
            self.models[ids, start : start + shape.numel()] += layer * mine
            received += mine.sum(dim=1)
            start += shape.numel()
        entry = step.element_size()
        self._sent += float((received * (entry + INDEX_BYTES)).clamp(max=entry * self.population.d).sum())

    def _report(self) -> dict[str, Any]:
        n = self.settings.clients
        with self.watch.phase("evaluate"):
            final = self.accuracies(np.arange(n))[:, 0]
        with self.watch.phase("standalone"):
            alone = standalone_accuracies(self.population, self.settings, self.defense, self._seed)
        self.trace.seconds = self.watch.seconds()
        by_client = {name: [values.get(client, 0.0) for client in range(n)] for name, values in self._standing.items()}
        return {
            "client_accuracy": final.tolist(),
            "standalone_accuracy": alone.tolist(),
            "best_accuracy": float(final[self.honest].max()),
            "mean_gain": float((final - alone)[self.honest].mean()),
            "fairness": collaborative_fairness(alone[self.honest], final[self.honest]),
            **by_client,
            "excluded": list(self._excluded),
            "excluded_rounds": list(self._excluded.values()),
            "excluded_honest": len(set(self._excluded) - set(self.malicious.tolist())),
            "excluded_malicious": len(set(self._excluded) & set(self.malicious.tolist())),
        }


def collaborative_fairness(standalone: Floats, final: Floats) -> float | None:
    """Pearson correlation of what clients [h] reach alone with what they reach together; 1 is fair.

    None where it is not defined: with fewer than two clients, or when one of both is the same for everybody. In a
    federation with one common model that is always so.
    """
    alone, together = (values - values.mean() for values in (standalone, final))
    size = float(np.sqrt((alone @ alone) * (together @ together)))
    return float(alone @ together) / size if size > 1e-12 else None
