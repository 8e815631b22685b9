"""Fake clients that pull the global model towards an untrained one."""

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
    """Model poisoning by fake clients (MPAF): all of them pull the global model towards one that has learnt nothing.

    Formula: ``v = factor (b - w_t)``, with the opposite sign when clients send gradients. The base model b is another
    initial model that is drawn once (``fresh``), or the first global model (``initial``). When a rule bounds lengths,
    only the direction of v counts. Numbers that do not fit into the updates' type are sent as its largest number.

    Knowledge: the global models, which every participant receives. The attack needs neither data nor other clients'
    updates. ``Clones(count=5, outside=True) >> MPAF()`` adds fake clients to the real ones.

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
    unfit: ClassVar[str] = "against rules that drop long updates, as its factor is a million by default"
    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    base: Annotated[
        Literal["fresh", "initial"],
        Doc("model towards which clients pull: another initial model, or the first global model"),
    ] = "fresh"
    factor: Annotated[float, Gt(0), Doc("factor on the difference to the base model")] = 1e6

    def vector(self, view: View) -> Tensor:
        import torch

        if "base" not in view.memory:
            view.memory["base"] = view.fresh_model() if self.base == "fresh" else view.initial_weights.clone()
        factor = self.factor if view.message == "delta" else -self.factor
        largest = torch.finfo(view.weights.dtype).max
        base: Tensor = view.memory["base"]
        return (factor * (base - view.weights)).clamp(-largest, largest)
