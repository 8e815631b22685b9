"""Clients that come and go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView
from robustfl.threats.faults import Ids, Mask


@dataclass(frozen=True, kw_only=True)
class Churn(Fault):
    """Churn: clients leave and join by a Markov chain, and a client that comes back starts from the model it left with.

    Formula: from one round to the next, a client that is present leaves with probability `leave`, and a client that is
    absent joins with probability `join`. The expected share of present clients is ``join / (join + leave)`` in every
    round (0.8 by default). A client that was absent for r rounds computes its first message from the model of r + 1
    rounds ago. Ages of models are limited to what 999 of 1000 absences stay below.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Churn
    >>> len(Churn()(np.ones((1000, 2)))[1])
    805
    """

    unfit: ClassVar[str] = (
        "for losses of single messages, which `dropout` plays: clients that were absent also compute with old "
        "models, and both effects are mixed"
    )

    among_peers: ClassVar[Literal["peers", "letters"] | None] = "peers"
    label_parameters: ClassVar[tuple[str, ...]] = ("leave", "join")

    leave: Annotated[float, Gt(0), Le(1), Doc("chance per round that a present client leaves")] = 0.05
    join: Annotated[float, Gt(0), Le(1), Doc("chance per round that an absent client comes back")] = 0.2

    def reach(self) -> int:
        return 2 if self.join == 1 else 2 + math.ceil(math.log(1e-3) / math.log1p(-self.join))

    def age(self, moment: FaultView) -> Ids:
        on, away = self._state(moment)
        ages: Ids = np.where(on & (away > 0), np.minimum(away + 1, self.reach()), 0)
        return ages

    def network(self, moment: FaultView) -> Delivery:
        return Delivery(lost=~self._state(moment)[0])

    def _state(self, moment: FaultView) -> tuple[Mask, Ids]:
        """Which of the clients at hand are present, and for how many rounds each was absent just before."""
        memory = moment.memory
        on, away = memory.get("on", np.empty(0, dtype=np.bool_)), memory.get("away", np.empty(0, dtype=np.int64))
        if moment.everybody > len(on):  # some clients are at hand for the first time
            draws = moment.lasting("start").random(moment.everybody)[len(on) :]
            on = np.concatenate([on, draws < self.join / (self.join + self.leave)])
            away = np.concatenate([away, np.zeros(len(draws), dtype=np.int64)])
        if memory.setdefault("number", moment.number) != moment.number:
            draws = moment.rng("change").random(len(on))
            away = np.where(on, 0, away + 1)
            on = np.where(on, draws >= self.leave, draws < self.join)
        memory |= {"number": moment.number, "on": on, "away": away}
        return on[moment.ids], away[moment.ids]
