"""GTS: gossip with the nearest neighbours alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import StarMixer
from robustfl.aggregation.neighbourhoods.stars import SLACK, by_distance, heaviest, with_own


@dataclass(frozen=True, kw_only=True)
class GTS(StarMixer):
    """GTS, geometric trimmed sum: gossip without the farthest neighbours, whose weight stays with the own model.

    Formula: ``x_i <- x_i + sum_j v_j (x_j - x_i)``, where the v_j are the gossip weights w_ij of the nearest letters up
    to the total ``1 - delta_i``, of which the last one may be a part; 0 beyond. delta_i is the weight that b of the
    neighbours have at most. :class:`NNA` divides the kept letters by their number in place of keeping weight on the
    own model; it moves further.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n k log k after them, and
    n k d for the sums.

    Guarantee: with unit weights, honest peers converge while ``4 b <= mu_2``, the algebraic connectivity of the graph
    between them; simulations diverge beyond. Breakdown point: 4 b = mu_2.

    References
    ----------
    R. Gaucher, A. Dieuleveut, H. Hendrikx. Unified Breakdown Analysis for Byzantine Robust Gossip. ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import GTS
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> GTS().mix(letters, around_0).models.round(6).tolist()
    [[0.4, 0.4]]
    """

    name: ClassVar[str] = "gts"
    guarantee: ClassVar[str] = "honest peers converge while 4b is below the algebraic connectivity of their graph"
    breakdown: ClassVar[str] = "4b = mu_2 of the honest graph"
    unfit: ClassVar[str] = (
        "where 4b exceeds the algebraic connectivity of the honest peers' network, as these can then be driven apart"
    )
    reference: ClassVar[str] = "Gaucher et al., Unified Breakdown Analysis for Byzantine Robust Gossip, ICML 2025"

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        _, weights, reached = by_distance(distances, w)
        before = (reached - weights)[:, 1:]
        part = np.clip((1.0 - heaviest(w, b))[:, None] - before, 0.0, weights[:, 1:])
        part[part < SLACK] = 0.0
        shares = np.empty_like(w)
        np.put_along_axis(shares, np.argsort(distances, axis=1, kind="stable"), part, axis=1)
        return with_own(shares)
