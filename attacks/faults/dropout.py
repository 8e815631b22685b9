"""Messages that get lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Lt
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class Dropout(Fault):
    """Dropout: each message is lost with a probability, independently in every round.

    Formula: message i arrives if and only if ``u_i >= probability``, where ``u_i ~ U[0, 1)``. When too few messages
    arrive for the defense's precondition, the model stays as it was and the round is counted as held.

    References
    ----------
    K. Bonawitz et al. Towards Federated Learning at Scale: System Design. MLSys 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Dropout
    >>> _, senders = Dropout(probability=0.5)(np.ones((8, 3)))
    >>> senders.tolist()
    [0, 1, 4, 6, 7]
    """

    reference: ClassVar[str] = "Bonawitz et al., Towards Federated Learning at Scale: System Design, MLSys 2019"
    unfit: ClassVar[str] = (
        "where the same clients fail again and again, which `partial` and `crash` play: losses are independent in "
        "every round"
    )
    among_peers: ClassVar[Literal["peers", "letters"] | None] = "letters"
    label_parameters: ClassVar[tuple[str, ...]] = ("probability",)

    probability: Annotated[float, Ge(0), Lt(1), Doc("chance that a message is lost")] = 0.1

    def network(self, moment: FaultView) -> Delivery:
        return Delivery(lost=moment.uniform() < self.probability)
