"""Neurotoxin: backdoors in coordinates that honest clients hardly change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import LocalAttack
from robustfl.threats.updates.local_training import Start, within

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Neurotoxin(LocalAttack):
    """Neurotoxin: malicious clients change only the coordinates that honest training hardly changes.

    Formula: every local gradient is multiplied by a mask that keeps the share `keep` of the coordinates with the
    smallest ``|g|``, in each tensor of the model (`per_layer`) or in the whole model. With ``guide="gradient"``, as in
    the published code, g is the gradient on the malicious clients' clean samples at the global model. With
    ``guide="aggregate"``, as in the paper, g is the previous aggregate, or that gradient in the first round. With a
    `radius`, the trained model also stays within this distance of the global model.

    Knowledge: the malicious clients' own data and the global models so far.

    References
    ----------
    Z. Zhang et al. Neurotoxin: Durable Backdoors in Federated Learning. ICML 2022.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import Neurotoxin
    >>> Neurotoxin(keep=0.5).mask(torch.tensor([-9.0, 0.1, 2.0, -0.2])).int().tolist()
    [0, 1, 0, 1]
    """

    reference: ClassVar[str] = "Zhang et al., Neurotoxin: Durable Backdoors in Federated Learning, ICML 2022"
    unfit: ClassVar[str] = (
        "alone, as it only says how malicious clients train: put poisoned data before it, such as `bad_nets`"
    )

    keep: Annotated[float, Gt(0), Le(1), Doc("share of the coordinates that may change")] = 0.95
    guide: Annotated[
        Literal["gradient", "aggregate"], Doc("vector g that shows which coordinates honest clients change")
    ] = "gradient"
    per_layer: Annotated[bool, Doc("whether the share is kept in each tensor of the model separately")] = False
    radius: Annotated[float | None, Gt(0), Doc("largest distance from the global model, if any")] = None

    def mask(self, guide: Tensor, layers: tuple[slice, ...] = ()) -> Tensor:
        """True for the coordinates [d] of smallest magnitude; the first ones are taken among equal ones."""
        import torch

        kept = torch.zeros_like(guide, dtype=torch.bool)
        for place in layers if self.per_layer and layers else (slice(0, len(guide)),):
            size = guide[place].abs()
            smallest = size.argsort(stable=True)[: max(1, int(self.keep * len(size) + 1e-9))]
            kept[place][smallest] = True
        return kept

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        if "mask" not in start.memory:
            known = start.previous_aggregate if self.guide == "aggregate" else None
            start.memory["mask"] = self.mask(start.clean_gradient() if known is None else known, start.layers)
        change = super().follow(change, gradient * start.memory["mask"], step, start)
        return change if self.radius is None else within(change, self.radius)
