"""NNA: the mean of the nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import StarMixer


@dataclass(frozen=True, kw_only=True)
class NNA(StarMixer):
    """NNA, nearest-neighbour averaging: the mean of the own model and the nearest of the neighbours' models.

    Formula: ``x_i <- (1/(m - b)) sum_{j in N} x_j``, where N holds the m-b of the m letters, the own one among them,
    with the smallest ``||x_j - x_i||`` (ties: the lower id). Gossip weights do not matter. With momentum at the peers
    (:class:`~robustfl.defenses.ClientMomentum`) this is MoNNA.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n k log k after them, and
    n k d for the sums.

    Guarantee: every model that is averaged is as near to the own model as some honest one, if at most b neighbours are
    malicious. An attacker that sends a peer its own model is always kept, and displaces the farthest honest one. The
    published analysis of learning on a complete graph requires n > 11 b.
    Breakdown point: there is none in a single mixing, as the own model is honest; over time, peers whose neighbours are
    far away can be driven apart.

    References
    ----------
    S. Farhadkhani, R. Guerraoui, N. Gupta, L. N. Hoang, R. Pinot, J. Stephan. Robust Collaborative Learning with Linear
    Gradient Overhead. ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import NNA
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> NNA().mix(letters, around_0).models.round(6).tolist()
    [[0.5, 0.5]]
    """

    name: ClassVar[str] = "nna"
    guarantee: ClassVar[str] = "averages no model farther from the own one than some honest model"
    breakdown: ClassVar[str] = "none in a single mixing"
    unfit: ClassVar[str] = (
        "where peers hold very different data: whoever sends a peer its own model is always kept, and displaces "
        "the honest model that is farthest away, from which there was most to learn"
    )
    reference: ClassVar[str] = (
        "Farhadkhani et al., Robust Collaborative Learning with Linear Gradient Overhead, ICML 2023"
    )

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        kept = distances.shape[1] - b
        shares = np.zeros((len(distances), distances.shape[1] + 1))
        shares[:, 0] = 1.0
        np.put_along_axis(shares[:, 1:], np.argsort(distances, axis=1, kind="stable")[:, :kept], 1.0, axis=1)
        mean: Floats = shares / (kept + 1)
        return mean
