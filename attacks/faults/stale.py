"""Clients that compute with an old model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView
from robustfl.threats.faults import Ids


@dataclass(frozen=True, kw_only=True)
class Stale(Fault):
    """Stale: clients compute with the model of some rounds ago, as if models took that long to reach them.

    Formula: the message of round t is computed at ``w_(t - rounds)``, or at ``w_0`` in the first `rounds` rounds. This
    is delayed SGD, which oscillates when the server's steps are large.

    References
    ----------
    X. Lian, Y. Huang, Y. Li, J. Liu. Asynchronous Parallel Stochastic Gradient for Nonconvex Optimization. NIPS 2015.

    Examples
    --------
    >>> from robustfl.attacks import Stale
    >>> Stale(rounds=10).reach()
    10
    """

    reference: ClassVar[str] = (
        "Lian et al., Asynchronous Parallel Stochastic Gradient for Nonconvex Optimization, NIPS 2015"
    )
    unfit: ClassVar[str] = (
        "with the default `share` for slow clients among quick ones, which `straggler` plays: it makes everybody's "
        "models equally old"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("rounds",)

    rounds: Annotated[int, Ge(1), Doc("age of the model that clients compute with, in rounds")] = 5

    def reach(self) -> int:
        return self.rounds

    def age(self, moment: FaultView) -> Ids:
        return np.full(len(moment.ids), self.rounds)
