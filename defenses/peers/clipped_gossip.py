"""Clipped gossip: a neighbour moves a peer by no more than its weight times a radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Lt
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import StarMixer
from robustfl.aggregation.neighbourhoods.stars import clipped


@dataclass(frozen=True, kw_only=True)
class ClippedGossip(StarMixer):
    """Clipped gossip (self-centred clipping): gossip whose differences from the own model are clipped.

    Formula: ``x_i <- x_i + sum_j w_ij clip(x_j - x_i, tau)`` with ``clip(z, r) = z min(1, r/||z||)``.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, and n k d for the sums.

    Guarantee: each letter moves its receiver by at most ``w_ij tau``, whatever it holds. The published analysis needs
    the radius ``tau_i^2 = sum_{good j} w_ij ||x_i - x_j||^2 / sum_{bad j} w_ij``, for which one has to know who is
    malicious; :class:`CSHe` estimates it.
    Breakdown point: there is none in a single mixing.

    References
    ----------
    L. He, S. P. Karimireddy, M. Jaggi. Byzantine-Robust Decentralized Learning via ClippedGossip. arXiv:2202.01545,
    2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import ClippedGossip
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> ClippedGossip(tau=1.0).mix(letters, around_0).models.round(6).tolist()
    [[0.482843, 0.482843]]
    """

    uses_bound: ClassVar[bool] = False
    label: ClassVar[str] = "clipped gossip"
    label_parameters: ClassVar[tuple[str, ...]] = ("tau",)
    guarantee: ClassVar[str] = "each letter moves its receiver by at most its weight times tau"
    breakdown: ClassVar[str] = "none in a single mixing"
    unfit: ClassVar[str] = (
        "where nobody knows how far honest models are apart, in whose unit tau is: below that peers hardly learn "
        "from each other, and above it each liar moves them by its weight times tau"
    )
    reference: ClassVar[str] = "He et al., Byzantine-Robust Decentralized Learning via ClippedGossip, 2022"

    tau: Annotated[
        float, Gt(0), Lt(float("inf")), Doc("the longest difference that counts in full, in the unit of the models")
    ] = 0.3

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        return clipped(distances, w, np.full(len(distances), self.tau))
