"""Clients that vanish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.threats import Fault

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Dropout(Fault):
    """Dropout: each message is lost with a probability, independently in every round.

    Formula: message i arrives iff ``u_i >= probability``, ``u_i ~ U[0, 1)``. A round in which too few messages arrive
    for the defense's precondition leaves the model as it was and is counted as held.

    References
    ----------
    K. Bonawitz et al. Towards Federated Learning at Scale: System Design. MLSys 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Dropout
    >>> _, arrived = Dropout(probability=0.5).strike(np.ones((8, 3)), 0, np.random.default_rng(0))
    >>> arrived.tolist()
    [True, False, False, False, True, True, True, True]
    """

    probability: Annotated[float, Ge(0), Lt(1), Doc("chance that a message is lost")] = 0.1

    def strike(self, messages: Tensor, number: int, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.bool_]]:
        return messages, rng.random(len(messages)) >= self.probability
