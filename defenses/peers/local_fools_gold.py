"""FoolsGold among the neighbours of a peer: those whose models have the same direction lose their weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Lt
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing
from robustfl.aggregation.neighbourhoods.remembering import require_size
from robustfl.reputation.likeness import trust, unit_step

Histories = dict[int, dict[int, Array]]
"""receiver -> sender -> a vector [d]. Honest peers send one letter to all, so receivers share most of the vectors."""


@dataclass(frozen=True, kw_only=True)
class LocalFoolsGold(Mixer):
    """Local FoolsGold: neighbours whose histories have the same direction are taken for Sybils and lose their weight.

    Formula: with the trust a_j in [0, 1] that FoolsGold gives to neighbour j from the cosines between the histories of
    the k neighbours, ``x_i <- (x_i + sum_j a_j x_j)/(1 + sum_j a_j)``. The own model is not compared with anybody. A
    history is the neighbour's latest model (`models`), which is what differences of successive models sum to, or the
    sum of these differences, each of unit length (`differences`); before the second letter it is zero, which resembles
    nobody. Neither gossip weights nor b matter.

    Shapes: [N, d] letters -> [n, d]. Cost: n k^2 d/2 for the products between k neighbours a peer, and n k d for the
    sums. Memory: with `differences`, two vectors [d] for each letter that differs between receivers.

    Guarantee: each neighbour has at most the weight of the own model. A peer that meets one Sybil alone has nobody to
    compare it with: an adversary with one edge to each peer is not found, and honest neighbours with similar data lose
    weight. It is here as the baseline of rules that also compare neighbours with hearsay.
    Breakdown point: none is known.

    References
    ----------
    C. Fung, C. J. M. Yoon, I. Beschastnikh. The Limitations of Federated Learning in Sybil Settings. RAID 2020; among
    neighbours: T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import LocalFoolsGold
    >>> around_0 = Hoods(index=[[0, 1, 2, 3]], weights=np.full((1, 4), 0.25), bounds=[2])
    >>> letters = Letters(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 5.0], [0.0, 5.0]]))
    >>> LocalFoolsGold().mix(letters, around_0).models.tolist()
    [[1.0, 0.5]]
    """

    family: ClassVar[str] = "peers, geometric"
    by_columns: ClassVar[bool] = True
    label: ClassVar[str] = "FoolsGold (local)"
    uses_bound: ClassVar[bool] = False
    judges: ClassVar[bool] = True
    guarantee: ClassVar[str] = "no neighbour has more weight than the own model"
    breakdown: ClassVar[str] = "not known"
    unfit: ClassVar[str] = (
        "where each peer meets one Sybil at most, which it has nobody to compare with; or where neighbours hold "
        "similar data, as honest ones then lose their weight"
    )
    reference: ClassVar[str] = "Fung et al., The Limitations of Federated Learning in Sybil Settings, RAID 2020"
    state_keys: ClassVar[tuple[str, ...]] = ("latest", "histories")

    history: Annotated[
        Literal["models", "differences"], Doc("what is compared: the latest models, or sums of their unit differences")
    ] = "models"
    confidence: Annotated[
        float, Gt(0), Lt(float("inf")), Doc("how steeply trust falls with similarity (kappa in the paper)")
    ] = 1.0

    @property
    def stateful(self) -> bool:
        return self.history == "differences"

    def _mix(self, gathering: Gathering) -> Mixing:
        if self.history == "models":
            squares = [gathering.squared_pairs(number) for number in range(len(gathering.groups))]
            norms = [gathering.squared_norms(number) for number in range(len(gathering.groups))]
            return Mixing([self._shares(*found) for found in zip(squares, norms, strict=True)])
        state = self._next(gathering)
        return Mixing(self._remembered(gathering, state["histories"]), state=state)

    def _shares(self, squares: Floats, norms: Floats) -> Floats:
        """The shares [g, m] for squared distances [g, m, m] and squared lengths [g, m] of what is compared."""
        products = (norms[:, :, None] + norms[:, None, :] - squares) / 2.0
        lengths = np.sqrt(norms)
        outer = lengths[:, :, None] * lengths[:, None, :]
        cosines = np.clip(np.divide(products, outer, out=np.zeros_like(products), where=outer > 0), -1.0, 1.0)
        here = np.arange(norms.shape[1] - 1)
        shares = np.ones(norms.shape)
        for place, found in enumerate(cosines[:, 1:, 1:]):
            shares[place, 1:] = trust(found, here, self.confidence)
        total: Floats = shares / shares.sum(axis=1, keepdims=True)
        return total

    def _next(self, gathering: Gathering) -> dict[str, Any]:
        """The latest letters, and the histories with the differences from the letters before."""
        latest: Histories = {peer: dict(known) for peer, known in self._state.get("latest", {}).items()}
        histories: Histories = {peer: dict(known) for peer, known in self._state.get("histories", {}).items()}
        copies: dict[int, Array] = {}
        moved: dict[tuple[int, int, int], Array] = {}
        for group in gathering.groups:
            for rows, ids in zip(group.index.tolist(), group.senders.tolist(), strict=True):
                before, sums = latest.setdefault(ids[0], {}), histories.setdefault(ids[0], {})
                for row, sender in zip(rows[1:], ids[1:], strict=True):
                    if row not in copies:
                        copies[row] = gathering.rows[row].copy()
                    old, history = before.get(sender), sums.get(sender)
                    require_size(self, history, len(copies[row]))
                    key = row, id(old), id(history)
                    if key not in moved:
                        moved[key] = unit_step(old, copies[row], history)
                    before[sender], sums[sender] = copies[row], moved[key]
        return {"latest": latest, "histories": histories}

    def _remembered(self, gathering: Gathering, histories: Histories) -> list[Floats]:
        """The shares of every group from the histories of its letters, of which equal ones are compared once."""
        place: dict[int, int] = {}
        pool: list[Array] = [np.zeros_like(gathering.rows[0])]
        index = []
        for group in gathering.groups:
            rows = np.zeros(group.index.shape, np.int32)  # the own model is compared with nobody
            for line, ids in enumerate(group.senders.tolist()):
                for slot, sender in enumerate(ids[1:], 1):
                    vector = histories[ids[0]][sender]
                    if id(vector) not in place:
                        place[id(vector)] = len(pool)
                        pool.append(vector)
                    rows[line, slot] = place[id(vector)]
            index.append(rows)
        compared = gathering.about(np.stack(pool), index)
        numbers = range(len(index))
        return [self._shares(compared.squared_pairs(number), compared.squared_norms(number)) for number in numbers]
