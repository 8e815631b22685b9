"""A network that does not keep the order of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class OutOfOrder(Fault):
    """Out of order: messages arrive some rounds late, after newer ones, and some arrive twice.

    Formula: a message is late with probability `probability`, and a second copy of it follows with probability
    `copies`. Each delay is 1 to `rounds` rounds, all equally likely. Clients continue to work meanwhile. The server
    takes the newest message of each client and takes none twice. Copies therefore change nothing, and a late message
    counts only if no newer message of its client came before.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import OutOfOrder
    >>> len(OutOfOrder(probability=0.5)(np.ones((8, 2)))[1])
    4
    """

    unfit: ClassVar[str] = (
        "where the server takes whatever comes: here a late message counts only if no newer one of its client came "
        "before"
    )

    label_parameters: ClassVar[tuple[str, ...]] = ("probability",)

    probability: Annotated[float, Ge(0), Le(1), Doc("chance that a message is late")] = 0.3
    copies: Annotated[float, Ge(0), Le(1), Doc("chance that a copy of a message follows it")] = 0.3
    rounds: Annotated[int, Ge(1), Doc("largest delay of a message, in rounds")] = 3

    def network(self, moment: FaultView) -> Delivery:
        late = self._delays("late", moment)
        again = self._delays("again", moment)
        return Delivery(
            late=np.where(moment.uniform("late") < self.probability, late, 0),
            again=np.where(moment.uniform("again") < self.copies, again, 0),
        )

    def _delays(self, what: str, moment: FaultView) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return 1 + (moment.uniform(f"rounds {what}") * self.rounds).astype(np.int64)
