"""IOS: gossip without the neighbours that are farthest from the average, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import GramMixer


@dataclass(frozen=True, kw_only=True)
class IOS(GramMixer):
    """IOS, iterative outlier scissor: gossip without the b neighbours that are farthest from the average of the rest.

    Formula: b times, the average of the letters that are left, with their gossip weights, is taken, and the neighbour
    farthest from it is dropped (ties: the lower id). The own model is never dropped. Then ``x_i`` is the average of
    those that are left, with weights in proportion to the gossip weights.

    Shapes: [N, d] letters -> [n, d]. Cost: n k^2 d/2 for the distances between k neighbours a peer, n b k^2 after them,
    and n k d for the sums.

    Guarantee: while less than a third of the gossip weight of each neighbourhood is malicious, the result is within a
    constant of the honest weighted average, in units of the honest spread. Breakdown point: 1/3 of the weight.

    References
    ----------
    Z. Wu, T. Chen, Q. Ling. Byzantine-Resilient Decentralized Stochastic Optimization with Robust Aggregation Rules.
    IEEE Transactions on Signal Processing, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import IOS
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> IOS().mix(letters, around_0).models.round(6).tolist()
    [[0.5, 0.5]]
    """

    name: ClassVar[str] = "ios"
    guarantee: ClassVar[str] = "near the honest average while less than a third of the weight is malicious"
    breakdown: ClassVar[str] = "1/3 of the gossip weight"
    unfit: ClassVar[str] = (
        "where a third or more of a neighbourhood's gossip weight may be malicious, which in sparse networks is "
        "one neighbour or two"
    )
    reference: ClassVar[str] = (
        "Wu et al., Byzantine-Resilient Decentralized Stochastic Optimization with Robust Aggregation Rules, TSP 2023"
    )

    def weights(self, grams: Floats, w: Floats, b: int) -> Floats:
        shares = w.copy()
        left = np.ones(w.shape, np.bool_)
        left[:, 0] = False
        for _ in range(b):
            reach = np.einsum("gpq,gq->gp", grams, shares)
            size = np.einsum("gpp->gp", grams)
            far = size - 2.0 * reach + (shares * reach).sum(axis=1, keepdims=True)
            far[~left] = -np.inf
            rounding = TIE * size.max(axis=1, keepdims=True)
            dropped = np.argmax(far >= far.max(axis=1, keepdims=True) - rounding, axis=1)[:, None]
            np.put_along_axis(left, dropped, False, axis=1)
            np.put_along_axis(shares, dropped, 0.0, axis=1)
            total = shares.sum(axis=1, keepdims=True)
            np.divide(shares, total, out=shares, where=total > 0)
            shares[:, 0] = np.where(total[:, 0] > 0, shares[:, 0], 1.0)
        return shares


TIE = 1e-12
"""Squared distances that differ by less than this share of the largest one are equal: the lower id decides."""
