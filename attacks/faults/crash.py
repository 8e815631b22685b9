"""Machines that stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class Crash(Fault):
    """Crash: machines stop, for a round or for good.

    Formula: in every round a running client crashes with probability p = `probability`, and its message is missing. The
    client is back in the next round, or never when crashes are `permanent`. With `probability` 1, permanent crashes and
    a `share` of 0.8, four of five clients are gone from `start_round` on. The plain mean stays unbiased, and its
    variance grows by the factor 1/(1 - p).

    References
    ----------
    M. de Vos, A. Dhasade, A.-M. Kermarrec, E. Lavoie, J. Pouwelse. Decentralized Learning Made Practical with Client
    Sampling. arXiv:2302.13837, 2023 (progress with 80 % of the nodes gone).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Crash
    >>> _, senders = Crash(probability=1.0, permanent=True, share=0.75)(np.ones((8, 3)))
    >>> len(senders)
    2
    """

    reference: ClassVar[str] = (
        "de Vos et al., Decentralized Learning Made Practical with Client Sampling, arXiv 2302.13837, 2023"
    )
    unfit: ClassVar[str] = "for messages that are late and not lost, which `straggler` and `out_of_order` play"
    among_peers: ClassVar[Literal["peers", "letters"] | None] = "peers"
    label_parameters: ClassVar[tuple[str, ...]] = ("probability",)

    probability: Annotated[float, Gt(0), Le(1), Doc("chance per round that a running client crashes")] = 0.2
    permanent: Annotated[bool, Doc("whether a crashed client never comes back")] = False

    def network(self, moment: FaultView) -> Delivery:
        down = moment.uniform() < self.probability
        if self.permanent:
            gone: set[int] = moment.memory.setdefault("gone", set())
            down |= np.isin(moment.ids, list(gone))
            gone.update(moment.ids[down].tolist())
        return Delivery(lost=down)
