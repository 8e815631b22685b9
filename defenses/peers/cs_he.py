"""CS_He: clipped gossip with the radius that its authors use in practice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import StarMixer
from robustfl.aggregation.neighbourhoods.stars import SLACK, by_distance, clipped, heaviest


@dataclass(frozen=True, kw_only=True)
class CSHe(StarMixer):
    """CS_He: self-centred clipping with a radius from the neighbourhood itself.

    Formula: ``x_i <- x_i + sum_j w_ij clip(x_j - x_i, tau_i)`` with ``clip(z, r) = z min(1, r/||z||)`` and
    ``tau_i^2 = (1/delta_i) sum_{j in P} w_ij ||x_j - x_i||^2``. P holds the nearest letters, strictly before the one
    with which the weights, that of the own model included, reach ``1 - delta_i``. delta_i is the weight that b of the
    neighbours have at most. With b=0 nothing is clipped. It is the radius of :class:`ClippedGossip`'s theory with the
    nearest letters in place of the honest ones, which nobody knows.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n k log k after them, and
    n k d for the sums.

    Guarantee: the published one, which holds for the radius of the honest letters, with a spectral gap of the weights
    that is large compared with the square root of delta. Breakdown point: not known for this radius.

    References
    ----------
    L. He, S. P. Karimireddy, M. Jaggi. Byzantine-Robust Decentralized Learning via ClippedGossip. arXiv:2202.01545,
    2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import CSHe
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> CSHe().mix(letters, around_0).models.round(6).tolist()
    [[0.6, 0.6]]
    """

    name: ClassVar[str] = "cs_he"
    label: ClassVar[str] = "CS_He"
    guarantee: ClassVar[str] = "each letter moves its receiver by at most its weight times the radius"
    breakdown: ClassVar[str] = "not known"
    unfit: ClassVar[str] = (
        "where a proof is needed: the published bound is for the radius of the honest letters, and this one is "
        "that of the nearest, which neighbours that send a peer its own model make small"
    )
    reference: ClassVar[str] = "He et al., Byzantine-Robust Decentralized Learning via ClippedGossip, 2022"

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        bad = heaviest(w, b)
        far, weights, reached = by_distance(distances, w)
        before = reached < (1.0 - bad - SLACK)[:, None]
        spread = np.where(before, weights * far**2, 0.0).sum(axis=1)
        radius = np.sqrt(np.divide(spread, bad, out=np.full(len(bad), np.inf), where=bad > SLACK))
        return clipped(distances, w, radius)
