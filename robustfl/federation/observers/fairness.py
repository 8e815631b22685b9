"""Whether clients get what they deserve, if each has a model of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.classified import classified
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.rewards import OwnModels
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

Floats = NDArray[np.float64]


class Fairness(Observer):
    """The accuracy that every client reaches with the others and alone, and its reputation with the defense.

    Parameters
    ----------
    setup : the fixed part of the simulation
    ownership : holds the clients' models
    alone : computes the accuracy [n] that each client reaches alone with the same budget
    """

    phase: ClassVar[str] = "standalone"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("client_accuracy", "accuracy of each client's own model", unit="share", better="higher", form="list"),
        Measure(
            "standalone_accuracy",
            "accuracy that each client reaches alone with the same budget",
            unit="share",
            form="list",
        ),
        Measure("best_accuracy", "accuracy of the best model of an honest client", unit="share", better="higher"),
        Measure(
            "mean_gain", "what honest clients reach together, less what they reach alone", unit="share", better="higher"
        ),
        Measure("fairness", "correlation of what honest clients reach alone and together; 1 is fair", better="higher"),
        Measure("reputations", "the defense's last word on each client's reputation", form="list"),
        Measure("quotas", "the share of the aggregate that each client got last", unit="share", form="list"),
        Measure("excluded", "the clients that were shut out for good", form="list"),
        Measure("excluded_rounds", "the rounds after which they were", unit="rounds", form="list"),
        Measure("excluded_honest", "how many honest clients were shut out", unit="clients", better="lower"),
        Measure("excluded_malicious", "how many malicious clients were shut out", unit="clients", better="higher"),
    )

    def __init__(self, setup: Setup, ownership: OwnModels, alone: Callable[[], Floats]) -> None:
        self._setup, self._ownership, self._alone = setup, ownership, alone
        self._standing: dict[str, dict[int, float]] = {"reputations": {}, "quotas": {}}
        self._excluded: dict[int, int] = {}

    def hear(self, round: Round) -> None:
        answer = round.receivers[0].answer
        info: dict[str, Any] = {} if answer is None else answer.info
        self._standing["reputations"] = info.get("reputations", self._standing["reputations"])
        self._standing["quotas"] |= info.get("quotas", {})
        self._excluded |= {c: round.finished for c in info.get("excluded", ()) if c not in self._excluded}

    def report(self, trace: Trace) -> None:
        if trace.diverged:
            return
        n, honest = self._setup.settings.clients, self._setup.honest
        final = np.array([classified(self._setup.population, model).plain for model in self._ownership.own])
        alone = self._alone()
        by_client = {name: [values.get(client, 0.0) for client in range(n)] for name, values in self._standing.items()}
        malicious = set(self._setup.malicious.tolist())
        self.tell(
            trace,
            client_accuracy=final.tolist(),
            standalone_accuracy=alone.tolist(),
            best_accuracy=float(final[honest].max()),
            mean_gain=float((final - alone)[honest].mean()),
            fairness=collaborative_fairness(alone[honest], final[honest]),
            **by_client,
            excluded=list(self._excluded),
            excluded_rounds=list(self._excluded.values()),
            excluded_honest=len(set(self._excluded) - malicious),
            excluded_malicious=len(set(self._excluded) & malicious),
        )


def collaborative_fairness(standalone: Floats, final: Floats) -> float | None:
    """The Pearson correlation of the accuracies [h] that clients reach alone and together; 1 is fair.

    None when it is not defined: with fewer than two clients, or when one of the two accuracies is the same for all
    clients, which is always so in a federation with one common model.
    """
    alone, together = (values - values.mean() for values in (standalone, final))
    size = float(np.sqrt((alone @ alone) * (together @ together)))
    return float(alone @ together) / size if size > 1e-12 else None
