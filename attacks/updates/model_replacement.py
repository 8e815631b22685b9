"""Model replacement: boosted until the attacker's model is the global one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import LocalAttack, View
from robustfl.threats.updates.local_training import Start

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ModelReplacement(LocalAttack):
    """Model replacement: malicious updates are scaled up until the mean carries the global model to the attacker's.

    Formula: ``v = gamma (X - w)`` with X the model that the malicious client trained from w; ``gamma = n/(f eta)`` for
    a server with steps of length eta (outside a federation, n/f), so that a mean of v and honest updates near zero ends
    at X. Constrain and scale: X is trained with the loss ``alpha CE + (1 - alpha) ||X - w||``. Train and scale:
    ``gamma = bound/||v||`` for the norm `bound` that a defense is known to check.

    Knowledge: the malicious clients' own updates; the global model.

    References
    ----------
    E. Bagdasaryan, A. Veit, Y. Hua, D. Estrin, V. Shmatikov. How To Backdoor Federated Learning. AISTATS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ModelReplacement
    >>> ModelReplacement()(np.zeros((9, 2)), f=1, own=np.array([[1.0, -2.0]])).tolist()
    [[10.0, -20.0]]
    >>> ModelReplacement(bound=10.0)(np.zeros((9, 2)), f=1, own=np.array([[3.0, -4.0]])).tolist()
    [[6.0, -8.0]]
    """

    reference: ClassVar[str] = "Bagdasaryan et al., How To Backdoor Federated Learning, AISTATS 2020"

    boost: Annotated[float | None, Gt(0), Doc("factor; what replaces the model when not given")] = None
    bound: Annotated[float | None, Gt(0), Doc("norm that malicious updates get, in place of a factor")] = None
    alpha: Annotated[float, Gt(0), Le(1), Doc("weight of the loss; the rest is that of staying close")] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boost is not None and self.bound is not None:
            raise ParameterError(
                f"ModelReplacement: give `boost` or `bound`, not both. Found boost={self.boost}, bound={self.bound}."
            )

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        if self.alpha < 1.0:  # the slope of a distance is the direction, and nothing at the start itself
            lengths = change.norm(dim=1, keepdim=True)
            away = change / lengths.masked_fill(lengths == 0.0, 1.0)
            gradient = self.alpha * gradient + (1.0 - self.alpha) * away
        return super().follow(change, gradient, step, start)

    def finish(self, change: Tensor, start: Start) -> Tensor:
        return change if self.boost is not None or self.bound is not None else change / start.reach

    def craft(self, view: View) -> Tensor:
        if self.bound is not None:
            lengths = view.own.norm(dim=1, keepdim=True)
            factors: Tensor = self.bound / lengths.masked_fill(lengths == 0.0, 1.0)
            return view.own * factors
        return view.own * (view.n / view.f if self.boost is None else self.boost)
