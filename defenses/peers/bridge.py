"""BRIDGE: the trimmed mean of a neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.neighbourhoods import ColumnMixer


@dataclass(frozen=True, kw_only=True)
class Bridge(ColumnMixer):
    """BRIDGE-T: the trimmed mean of each coordinate over the own model and the neighbours' models.

    Formula: ``x_ij <- (1/(m - 2b)) sum_{k=b+1}^{m-b} x_(k)j`` over the m letters, the own one among them. Gossip
    weights do not matter. (Its variants BRIDGE-M, -K and -B are the rules `median`, `krum` and `bulyan`, which peers
    may use as they are.)

    Shapes: [N, d] letters -> [n, d]. Cost: n d k log^2 k for k neighbours a peer, in one pass.

    Guarantee: each coordinate lies within the range of the honest letters while m >= 2b + 1. The published analysis
    of learning takes the gradient step after the mixing. Breakdown point: (m - 1)/2 of the neighbours.

    References
    ----------
    C. Fang, Z. Yang, W. U. Bajwa. BRIDGE: Byzantine-Resilient Decentralized Gradient Descent. IEEE Transactions on
    Signal and Information Processing over Networks, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import Bridge
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> Bridge().mix(letters, around_0).models.round(6).tolist()
    [[0.666667, 0.666667]]
    """

    label: ClassVar[str] = "BRIDGE-T"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "within the range of the honest letters of each coordinate while m >= 2b + 1"
    breakdown: ClassVar[str] = "(m - 1)/2"
    unfit: ClassVar[str] = (
        "where peers have few neighbours, as each needs 2b + 1 letters with its own; or where honest values of a "
        "coordinate fall into groups, as what is trimmed is then the smaller group"
    )
    reference: ClassVar[str] = "Fang et al., BRIDGE: Byzantine-Resilient Decentralized Gradient Descent, 2022"

    def columns(self, block: Array, b: int, ops: Kernels) -> Array:
        return ops.trimmed_mean(block, b)
