"""Plain gossip averaging, the baseline without any defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import LinearMixer


@dataclass(frozen=True, kw_only=True)
class Gossip(LinearMixer):
    """Gossip: every peer averages its model with its neighbours' models, with the gossip weights.

    Formula: ``x_i <- sum_j w_ij x_j`` over the peer itself and its neighbours.

    Shapes: [N, d] letters -> [n, d]. Cost: one pass over the letters, n k d for k neighbours a peer.

    Guarantee: with doubly stochastic weights the mean of all models stays, and they approach it by the spectral gap of
    the weights in each mixing. Breakdown point: none is tolerated, as one letter can move its receiver anywhere.

    References
    ----------
    L. Xiao, S. Boyd. Fast linear iterations for distributed averaging. Systems & Control Letters, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import Gossip
    >>> pair = Hoods(index=[[0, 1], [1, 0]], weights=np.array([[0.75, 0.25], [0.75, 0.25]]), bounds=[0, 0])
    >>> Gossip().mix(Letters(np.array([[0.0], [4.0]])), pair).models.tolist()
    [[1.0], [3.0]]
    """

    uses_bound: ClassVar[bool] = False
    guarantee: ClassVar[str] = "keeps the mean of all models with doubly stochastic weights, while nobody lies"
    breakdown: ClassVar[str] = "0"
    unfit: ClassVar[str] = "wherever a single neighbour may lie: one letter moves its receiver anywhere"
    reference: ClassVar[str] = "Xiao and Boyd, Fast linear iterations for distributed averaging, 2004"

    def shares(self, w: Floats, b: int) -> Floats:
        return w
