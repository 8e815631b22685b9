"""Updates with lost coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DroppedCoordinates(UpdateAttack):
    """Dropped coordinates: failing clients send their own updates, in which some coordinates are lost and read as 0.

    Formula: ``v_ij = o_ij`` if ``u_ij >= fraction`` and 0 otherwise, where ``u_ij ~ U[0, 1)`` is drawn anew in every
    round. No malice is needed: a lossy link does this to an honest update.

    Knowledge: the malicious clients' own updates.

    References
    ----------
    H. Almasi, H. Mishra, B. Vamanan, S. N. Ravi. Flag Aggregator: Scalable Distributed Training under Failures and
    Augmented Losses using Convex Optimization. ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import DroppedCoordinates
    >>> DroppedCoordinates(fraction=0.5)(np.zeros((8, 6)), f=1, own=np.ones((1, 6))).tolist()
    [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]
    """

    reference: ClassVar[str] = (
        "Almasi et al., Flag Aggregator: Scalable Distributed Training under Failures and Augmented Losses using "
        "Convex Optimization, ICLR 2024"
    )
    unfit: ClassVar[str] = "as an attack: what is lost is drawn by chance and read as 0, which turns no sign"
    label_parameters: ClassVar[tuple[str, ...]] = ("fraction",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    fraction: Annotated[float, Gt(0), Le(1), Doc("chance that a coordinate is lost")] = 0.1

    def craft(self, view: View) -> Tensor:
        import torch

        lost = torch.as_tensor(view.rng.random((view.f, view.d), dtype=np.float32) < self.fraction)
        return view.own.masked_fill(lost.to(view.own.device), 0.0)
