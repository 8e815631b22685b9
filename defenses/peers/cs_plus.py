"""CS+: gossip whose differences are clipped at a distance that most weight lies within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import StarMixer
from robustfl.aggregation.neighbourhoods.stars import SLACK, by_distance, clipped, heaviest


@dataclass(frozen=True, kw_only=True)
class CSPlus(StarMixer):
    """CS+: gossip whose differences are clipped at the distance within which all but twice the bad weight lies.

    Formula: ``x_i <- x_i + sum_j w_ij clip(x_j - x_i, tau_i)`` with ``clip(z, r) = z min(1, r/||z||)``. tau_i is the
    largest distance up to which the weights, that of the own model included, sum to at most ``1 - 2 delta_i``; 0 if
    there is none. delta_i is the weight that b of the neighbours have at most.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n k log k after them, and
    n k d for the sums.

    Guarantee: with unit weights, the variance of honest peers stays bounded while ``2 b <= mu_2``, the algebraic
    connectivity of the graph between them, about the most that any rule can bear. It pays for its b also when nobody
    attacks: parts of a network with at most 2b edges a peer between them hardly learn from each other.
    Breakdown point: 2 b = mu_2.

    References
    ----------
    R. Gaucher, A. Dieuleveut, H. Hendrikx. Unified Breakdown Analysis for Byzantine Robust Gossip. ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import CSPlus
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> CSPlus().mix(letters, around_0).models.round(6).tolist()
    [[0.482843, 0.482843]]
    """

    name: ClassVar[str] = "cs_plus"
    label: ClassVar[str] = "CS+"
    guarantee: ClassVar[str] = "honest peers stay together while 2b is below the algebraic connectivity of their graph"
    breakdown: ClassVar[str] = "2b = mu_2 of the honest graph"
    unfit: ClassVar[str] = (
        "in networks with weak cuts: parts with at most 2b edges a peer between them hardly learn from each other, "
        "also when nobody attacks"
    )
    reference: ClassVar[str] = "Gaucher et al., Unified Breakdown Analysis for Byzantine Robust Gossip, ICML 2025"

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        far, _, reached = by_distance(distances, w)
        within = reached <= (1.0 - 2.0 * heaviest(w, b) + SLACK)[:, None]
        return clipped(distances, w, np.where(within, far, 0.0).max(axis=1))
