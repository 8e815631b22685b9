"""UBAR: near neighbours whose models do better than the own one on a peer's own samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing
from robustfl.errors import ParameterError, RobustflError


@dataclass(frozen=True, kw_only=True)
class UBAR(Mixer):
    """UBAR (MOZI): the mean of the near neighbours with a smaller loss than the own model.

    Formula: first the k-b of k neighbours are kept that have the smallest ``||x_j - x_i||`` (ties: the lower id). Of
    these, A holds the ones with ``loss_i(x_j) < loss_i(x_i)`` on samples of peer i, or the one with the smallest loss
    if there is none. ``x_i <- alpha x_i + (1 - alpha)/|A| sum_{j in A} x_j``. The published test accepts equal losses
    as well; a neighbour that sends a peer its own model would then always pass.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n (k - b + 1) losses, and
    n k d for the sums. Peers have to say how large their losses are (`Occasion.losses`).

    Guarantee: every model that is averaged is as near to the own model as some honest one. One that is used though its
    loss is larger is the best of those. Losses of a few samples are noisy, so honest neighbours are often refused.
    Breakdown point: k - 1 neighbours.

    References
    ----------
    S. Guo, T. Zhang, H. Yu, X. Xie, L. Ma, T. Xiang, Y. Liu. Byzantine-Resilient Decentralized Stochastic Gradient
    Descent. IEEE Transactions on Circuits and Systems for Video Technology, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion
    >>> from robustfl.defenses import UBAR
    >>> around_0 = Hoods(index=[[0, 1, 2, 3]], weights=np.full((1, 4), 0.25), bounds=[1])
    >>> occasion = Occasion(losses=lambda peer, models: np.abs(models[:, 0] - 1.0))
    >>> UBAR().mix(Letters(np.array([[0.0], [1.5], [-0.5], [9.0]])), around_0, occasion).models.tolist()
    [[0.75]]
    """

    name: ClassVar[str] = "ubar"
    family: ClassVar[str] = "peers, by losses"
    guarantee: ClassVar[str] = "averages no model farther from the own one than some honest model"
    breakdown: ClassVar[str] = "k - 1 of k neighbours"
    unfit: ClassVar[str] = "where peers have few samples to tell losses by, as noise then refuses honest neighbours"
    reference: ClassVar[str] = "Guo et al., Byzantine-Resilient Decentralized Stochastic Gradient Descent, TCSVT 2022"

    alpha: Annotated[float, Ge(0), Le(1), Doc("share of the own model")] = 0.5

    def _mix(self, gathering: Gathering) -> Mixing:
        losses = gathering.occasion.losses
        if losses is None:
            raise ParameterError(
                f"{self!r} tries the models out. Say what their losses are: `Occasion(losses=...)`, a function of a "
                "peer's id and models [c, d] that returns [c]."
            )
        shares = []
        for number, group in enumerate(gathering.groups):
            squares = gathering.squared_distances(number)
            kept = max(group.m - 1 - group.b, 1)
            near = 1 + np.argsort(squares, axis=1, kind="stable")[:, :kept]
            share = np.zeros(group.index.shape)
            share[:, 0] = self.alpha
            for place, chosen in enumerate(near):
                rows = group.index[place, np.insert(chosen, 0, 0)]
                found = np.asarray(losses(int(group.senders[place, 0]), gathering.rows[rows]), np.float64)
                if found.shape != rows.shape:
                    raise RobustflError(f"`losses` should return {len(rows)} losses. Found shape {list(found.shape)}.")
                share[place, chosen[_accepted(found)]] += 1.0
            others = share[:, 1:]
            others *= (1.0 - self.alpha) / others.sum(axis=1, keepdims=True)
            shares.append(share)
        return Mixing(shares)


def _accepted(losses: Floats) -> np.ndarray:
    """The places of the candidates that are used, for the loss of the own model and then those of the candidates.

    A loss that is NaN is larger than all others.
    """
    own, others = losses[0], np.where(np.isnan(losses[1:]), np.inf, losses[1:])
    better = np.flatnonzero(others < own) if not np.isnan(own) else np.flatnonzero(np.isfinite(others))
    return better if len(better) else np.array([int(np.argmin(others))])
