"""The yardstick of networks without a server: what a peer reaches without any neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import LinearMixer


@dataclass(frozen=True, kw_only=True)
class Alone(LinearMixer):
    """Alone: every peer keeps its own model, whatever its neighbours send. It is a yardstick, and no defense.

    Formula: ``x_i <- x_i``. Nobody can attack it, because nobody is heard. Collaboration is worth what it adds to this.

    Shapes: [N, d] letters -> [n, d]. Cost: one copy of the models.

    Guarantee: the result does not depend on the letters. Breakdown point: there is none.

    References
    ----------
    For clients that learn alone as what collaboration is compared with: V. Smith, C.-K. Chiang, M. Sanjabi,
    A. Talwalkar. Federated Multi-Task Learning. NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import Alone
    >>> pair = Hoods(index=[[0, 1], [1, 0]], weights=np.full((2, 2), 0.5), bounds=[0, 0])
    >>> Alone().mix(Letters(np.array([[0.0], [4.0]])), pair).models.tolist()
    [[0.0], [4.0]]
    """

    uses_bound: ClassVar[bool] = False
    guarantee: ClassVar[str] = "the peer's own model; no neighbour is heard"
    breakdown: ClassVar[str] = "none"
    unfit: ClassVar[str] = (
        "as a defense: it hears nobody, so nothing is learnt from others; it is what collaboration is compared with"
    )
    reference: ClassVar[str] = "Smith et al., Federated Multi-Task Learning, NeurIPS 2017"

    def shares(self, w: Floats, b: int) -> Floats:
        return np.concatenate([np.ones_like(w[:, :1]), np.zeros_like(w[:, 1:])], axis=1)
