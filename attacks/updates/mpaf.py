"""Fake clients that pull the model elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MPAF(TiledAttack):
    """Model poisoning by fake clients (MPAF): all pull the global model towards one that has learnt nothing.

    Formula: ``v = factor (b - w_t)``, the other way round where clients send gradients, with the base model b another
    initial model (``fresh``, drawn once) or the first global model (``initial``). Where a rule bounds lengths, only
    the direction counts. What does not fit into the updates' type is sent as its largest number.

    Knowledge: the global models, which every participant receives; no data, no other client. Fake clients that come
    on top of the real ones are ``Clones(count=5, outside=True) >> MPAF()``.

    References
    ----------
    X. Cao, N. Z. Gong. MPAF: Model Poisoning Attacks to Federated Learning based on Fake Clients. CVPR Workshops 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import MPAF
    >>> first, now = np.array([0.0, 0.0]), np.array([1.0, -2.0])
    >>> MPAF(base="initial", factor=10.0)(np.zeros((4, 2)), f=1, history=[first, now], message="delta").tolist()
    [[-10.0, 20.0]]
    """

    reference: ClassVar[str] = (
        "Cao and Gong, MPAF: Model Poisoning Attacks to Federated Learning based on Fake Clients, CVPR-W 2022"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    base: Annotated[
        Literal["fresh", "initial"], Doc("the model to which they pull: another initial model, or the first one")
    ] = "fresh"
    factor: Annotated[float, Gt(0), Doc("multiple of the way to that model")] = 1e6

    def vector(self, view: View) -> Tensor:
        import torch

        if "base" not in view.memory:
            view.memory["base"] = view.fresh_model() if self.base == "fresh" else view.initial_weights.clone()
        factor = self.factor if view.message == "delta" else -self.factor
        largest = torch.finfo(view.weights.dtype).max
        base: Tensor = view.memory["base"]
        return (factor * (base - view.weights)).clamp(-largest, largest)
