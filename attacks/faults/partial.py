"""Clients that take part with different probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class Partial(Fault):
    """Partial: every client takes part with a probability of its own, which nobody knows.

    Formula: ``p_i ~ Beta(alpha, beta)`` is drawn once per client, and a message of client i arrives with probability
    p_i. The plain mean then follows ``sum_i p_i grad f_i / sum_i p_i``: the data of clients that take part more often
    count more.

    References
    ----------
    S. Wang, M. Ji. A Unified Analysis of Federated Learning with Arbitrary Client Participation. NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Partial
    >>> len(Partial()(np.ones((1000, 2)))[1])
    234
    """

    reference: ClassVar[str] = (
        "Wang, Ji, A Unified Analysis of Federated Learning with Arbitrary Client Participation, NeurIPS 2022"
    )
    unfit: ClassVar[str] = (
        "where who takes part depends on the data that they hold, as the chances are drawn without looking at these"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    alpha: Annotated[float, Gt(0), Doc("first parameter of Beta(alpha, beta), whose mean is alpha/(alpha + beta)")] = (
        1.0
    )
    beta: Annotated[float, Gt(0), Doc("second parameter of Beta(alpha, beta)")] = 3.0

    def network(self, moment: FaultView) -> Delivery:
        habits = moment.lasting("habit").beta(self.alpha, self.beta, size=moment.everybody)[moment.ids]
        return Delivery(lost=moment.uniform() >= habits)
