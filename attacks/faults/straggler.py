"""Clients that are too slow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class Straggler(Fault):
    """Straggler: working times are log-normal, and the server does not wait for messages after a deadline.

    Formula: the working time of client i in round t is ``T_it = exp(s (sqrt(c) z_i + sqrt(1 - c) z_it))`` with standard
    normal z, s the `spread` and c the part `lasting` of the variance that belongs to the client. With c = 0, chance
    decides anew in every round. With c = 1, the same clients are always late, and their data never count. The deadline
    D is the `on_time` quantile of T. Late messages are lost (``absent``), or arrive ``ceil(T/D) - 1`` rounds later
    (``stale``), when they no longer fit the model. In the second case their clients start no new work until then.

    References
    ----------
    S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar. Slow and Stale Gradients Can Win the Race: Error-Runtime
    Trade-offs in Distributed SGD. AISTATS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Straggler
    >>> len(Straggler(on_time=0.4)(np.ones((1000, 2)))[1])
    412
    """

    reference: ClassVar[str] = "Dutta et al., Slow and Stale Gradients Can Win the Race, AISTATS 2018"
    unfit: ClassVar[str] = (
        "with the default `lasting` where chance alone decides who is late: half of the variance belongs to the "
        "client, so that data of slow clients count less"
    )
    among_peers: ClassVar[Literal["peers", "letters"] | None] = "peers"
    label_parameters: ClassVar[tuple[str, ...]] = ("on_time",)

    on_time: Annotated[float, Gt(0), Le(1), Doc("share of the messages that meet the deadline")] = 0.7
    late: Annotated[
        Literal["absent", "stale"], Doc("what happens to late messages: they are lost, or they arrive in a later round")
    ] = "absent"
    spread: Annotated[float, Gt(0), Doc("standard deviation of the logarithm of working times")] = 1.0
    lasting: Annotated[
        float, Ge(0), Le(1), Doc("part of this logarithm's variance that a client keeps in all rounds")
    ] = 0.5

    def network(self, moment: FaultView) -> Delivery:
        from scipy.special import ndtri

        own = moment.lasting("speed").standard_normal(moment.everybody)[moment.ids]
        now = moment.rng("speed").standard_normal(moment.everybody)[moment.ids]
        time = math.sqrt(self.lasting) * own + math.sqrt(1.0 - self.lasting) * now
        behind = np.exp(np.minimum(self.spread * (time - float(ndtri(self.on_time))), 20.0))  # T / D
        rounds = np.maximum(np.ceil(behind).astype(np.int64) - 1, 0)
        if self.late == "absent":
            return Delivery(lost=rounds > 0)
        until: dict[int, int] = moment.memory.setdefault("busy until", {})
        busy = np.array([until.get(client, -1) >= moment.number for client in moment.ids.tolist()])
        free = ~busy & (rounds > 0)
        until.update(zip(moment.ids[free].tolist(), (moment.number + rounds[free]).tolist(), strict=True))
        return Delivery(lost=busy, late=np.where(busy, 0, rounds))
