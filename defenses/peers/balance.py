"""BALANCE: neighbours count while they are near to the own model, measured by its length."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing

LONELY = 10
"""After so many rounds in which a peer accepted nobody, it is told that its `gamma` may be too small."""


@dataclass(frozen=True, kw_only=True)
class Balance(Mixer):
    """BALANCE: the own model and the mean of the neighbours' models that are near to it, in units of its own length.

    Formula: A holds the neighbours with ``||x_i - x_j|| <= gamma exp(-kappa t/T) ||x_i||`` in round t of T, and
    ``x_i <- alpha x_i + (1 - alpha)/|A| sum_{j in A} x_j``; x_i stays if A is empty. Without a known number of rounds
    the threshold stays ``gamma ||x_i||``. Neither gossip weights nor b matter.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, and n k d for the sums.
    Memory: one number a peer, for how many rounds it has accepted nobody; after 10 a warning says so, because a peer
    whose model is still short accepts only what is very near.

    Guarantee: every model that counts is within the threshold of the own model, whoever sent it. Breakdown point: there
    is none in a single mixing.

    References
    ----------
    M. Fang, Z. Zhang, Hairi, P. Khanduri, J. Liu, S. Lu, Y. Liu, N. Gong. Byzantine-Robust Decentralized Federated
    Learning. CCS 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import Balance
    >>> around_0 = Hoods(index=[[0, 1, 2]], weights=np.full((1, 3), 1 / 3), bounds=[1])
    >>> Balance().mix(Letters(np.array([[1.0, 0.0], [1.0, 0.5], [-3.0, 0.0]])), around_0).models.tolist()
    [[1.0, 0.25]]
    """

    label: ClassVar[str] = "BALANCE"
    family: ClassVar[str] = "peers, star"
    by_columns: ClassVar[bool] = True
    uses_bound: ClassVar[bool] = False
    state_keys: ClassVar[tuple[str, ...]] = ("lonely",)
    guarantee: ClassVar[str] = "uses no model farther away than a share of the own model's length"
    breakdown: ClassVar[str] = "none in a single mixing"
    unfit: ClassVar[str] = (
        "where models begin at or near zero, as a threshold in units of the own length then accepts hardly "
        "anybody; or where peers hold very different data, as honest models far away are refused like malicious "
        "ones"
    )
    reference: ClassVar[str] = "Fang et al., Byzantine-Robust Decentralized Federated Learning, CCS 2024"

    gamma: Annotated[
        float, Gt(0), Lt(float("inf")), Doc("the largest accepted distance in the first round, in own lengths")
    ] = 1.0
    kappa: Annotated[float, Ge(0), Lt(float("inf")), Doc("how fast the accepted distance shrinks over all rounds")] = (
        1.0
    )
    alpha: Annotated[float, Ge(0), Le(1), Doc("share of the own model")] = 0.5

    def _mix(self, gathering: Gathering) -> Mixing:
        shrunk = self.gamma * np.exp(-self.kappa * gathering.occasion.progress)
        lonely = dict(self._state.get("lonely", {}))
        shares, told = [], 0
        for number, group in enumerate(gathering.groups):
            reach = shrunk * np.sqrt(gathering.squared_norms(number)[:, :1])
            accepted = np.sqrt(gathering.squared_distances(number)) <= reach
            count = accepted.sum(axis=1, keepdims=True)
            share = np.empty(group.index.shape)
            share[:, 1:] = (1.0 - self.alpha) * accepted / np.maximum(count, 1)
            share[:, 0] = np.where(count[:, 0] > 0, self.alpha, 1.0)
            shares.append(share)
            for peer, some in zip(group.senders[:, 0].tolist(), (count[:, 0] > 0).tolist(), strict=True):
                lonely[peer] = 0 if some else lonely.get(peer, 0) + 1
                told += lonely[peer] == LONELY
        if told:
            warnings.warn(
                f"BALANCE: {told} peers accepted nobody in {LONELY} rounds, and learn alone. Their models may be short "
                f"compared with the distances between models. Raise `gamma`, which is {self.gamma}.",
                UserWarning,
                stacklevel=2,
            )
        return Mixing(shares, info={"lonely": lonely}, state={"lonely": lonely})
