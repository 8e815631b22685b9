"""The attack that is bold where the model is sensitive, and stays within the honest spread everywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

from .alie import alie_z
from .min_sum import MinSum

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SparseHybrid(TiledAttack):
    """Sparse hybrid: a shift of many standard deviations in the few weights that matter most, of a few in all others.

    Formula: mu and sigma are the mean and the standard deviations of the honest updates, and w is the global model. M
    is the share `sensitive` of the coordinates that has the largest pruning saliency ``|w mu|``, in each tensor of the
    model (`per_layer`) or in the whole model. M has at least one coordinate; the first ones are taken among equal ones.
    On M, ``v = mu - sign(mu) min(sigma, Q3 + 1.5 (Q3 - Q1)) k_big``, where Q1 and Q3 are quartiles of sigma on M.
    Elsewhere, ``v = mu - sign(mu) sigma z``. With ``alie``, z is ALIE's ``z_max``, but at least 0. With ``min_sum``, z
    is the largest number for which the squared distances to honest updates outside M sum to no more than those of the
    worst honest update.
    The step on M is short because M is small. The step elsewhere is small in every coordinate, and adds up over rounds.
    With a larger `k_big`, rules that filter by distance discover the attack, and plain averaging suffers more.
    M is chosen anew in every round from what honest clients send. The released code chooses M once before the training,
    and its budget also counts the step on M.

    Shapes: honest updates [h, d] and the model [d] -> one vector [d], which all f malicious clients send.

    Knowledge: all honest updates and the global model.

    References
    ----------
    E. Özfatura, K. Özfatura, A. Küpçü, D. Gündüz. Aggressive or Imperceptible, or Both: Network Pruning Assisted Hybrid
    Byzantines in Federated Learning. arXiv:2404.06230, 2024 (signs and limit as in the released code).
    N. Lee, T. Ajanthan, P. H. S. Torr. SNIP: Single-shot Network Pruning based on Connection Sensitivity. ICLR 2019
    (the saliency).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import SparseHybrid
    >>> honest = np.array([[1.0, 2.0, -5.0], [3.0, 2.0, -3.0]])
    >>> model = np.array([0.1, 0.2, 0.3])  # the last weight is the most sensitive one
    >>> SparseHybrid(k_big=3.0)(honest, f=1, history=[model]).tolist()
    [[1.0, 2.0, -1.0]]
    """

    reference: ClassVar[str] = (
        "Özfatura et al., Aggressive or Imperceptible, or Both: Network Pruning Assisted Hybrid Byzantines in "
        "Federated Learning, arXiv:2404.06230, 2024"
    )
    unfit: ClassVar[str] = "in models of a few hundred weights, of which the share `sensitive` is a handful"
    label_parameters: ClassVar[tuple[str, ...]] = ("budget",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

    sensitive: Annotated[
        float, Gt(0), Le(1), Doc("share of the coordinates, the most sensitive ones, that get a large step")
    ] = 0.01
    k_big: Annotated[float, Ge(0), Doc("length of the large step, in standard deviations")] = 3.0
    budget: Annotated[
        Literal["alie", "min_sum"],
        Doc("what bounds the step in all other coordinates: ALIE's z_max, or the sum of Min-Sum"),
    ] = "min_sum"
    per_layer: Annotated[bool, Doc("whether the share is taken in each tensor of the model separately")] = True
    ddof: Annotated[int, Ge(0), Le(1), Doc("the variance is divided by the number of rows minus ddof")] = 0

    def vector(self, view: View) -> Tensor:
        rows, mean, spread = view.finite(), view.mean(), view.std(ddof=self.ddof)
        if not len(rows):
            return mean
        mask = self.mask(view.weights.double() * mean.double(), view.layers)
        with np.errstate(invalid="ignore"):  # spread is infinite when honest updates are near overflow
            low, high = np.quantile(spread[mask].double().cpu().numpy(), [0.25, 0.75])
        step = -mean.sign() * spread.clamp(max=high + 1.5 * (high - low)).where(mask, spread)
        quiet = step.masked_fill(mask, 0.0)
        if self.budget == "alie":
            z = max(alie_z(len(rows) + view.f, view.f), 0.0)
        else:
            z = MinSum().reach(view, mean.where(mask, rows), mean, quiet) if bool(quiet.any()) else 0.0
        return mean + step * view.full(z).masked_fill(mask, self.k_big)

    def mask(self, saliency: Tensor, layers: tuple[slice, ...] = ()) -> Tensor:
        """True for the coordinates [d] of largest magnitude; the first ones are taken among equal ones."""
        import torch

        chosen = torch.zeros_like(saliency, dtype=torch.bool)
        for place in layers if self.per_layer and layers else (slice(0, len(saliency)),):
            size = saliency[place].abs()
            largest = size.argsort(descending=True, stable=True)[: max(1, int(self.sensitive * len(size) + 1e-9))]
            chosen[place][largest] = True
        return chosen
