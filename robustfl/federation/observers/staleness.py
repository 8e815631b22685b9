"""How old the models are that clients compute with."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Staleness(Observer):
    """How many steps the server made between giving an honest member a model and getting the message from it."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("staleness", "mean age of the models that honest messages come from", unit="steps"),
        Measure("worst_staleness", "largest age of a model that an honest message comes from", unit="steps"),
    )

    def __init__(self) -> None:
        self._ages: list[int] = []

    def hear(self, round: Round) -> None:
        self._ages += round.ages(round.honest).tolist()

    def report(self, trace: Trace) -> None:
        if self._ages:
            self.tell(trace, staleness=float(np.mean(self._ages)), worst_staleness=max(self._ages))
