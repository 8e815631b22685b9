"""Model replacement: updates are boosted until the attacker's model becomes the global model."""

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
    """Model replacement: malicious updates are scaled up until the mean moves the global model to the attacker's model.

    Formula: ``v = gamma (X - w)``, where X is the model that the malicious client trained from w. For a server with
    steps of length eta, ``gamma = n/(f eta)`` (n/f outside a federation). The mean of v and of honest updates near zero
    then leads to X. Constrain and scale: X is trained with the loss ``alpha CE + (1 - alpha) ||X - w||``. Train and
    scale: ``gamma = bound/||X - w||``, where `bound` is the norm that the defense is known to check.

    Knowledge: the malicious clients' own updates and the global model.

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
    unfit: ClassVar[str] = (
        "alone, as it only says how malicious clients train: put poisoned data before it, such as `bad_nets`; or "
        "against rules that bound lengths, unless `bound` stays within that"
    )

    boost: Annotated[float | None, Gt(0), Doc("factor gamma; when not given, the factor that replaces the model")] = (
        None
    )
    bound: Annotated[float | None, Gt(0), Doc("norm to which malicious updates are scaled, in place of a factor")] = (
        None
    )
    alpha: Annotated[
        float, Gt(0), Le(1), Doc("weight of the loss; 1 - alpha is the weight of the distance from the global model")
    ] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boost is not None and self.bound is not None:
            raise ParameterError(
                f"ModelReplacement: give `boost` or `bound`, not both. Found boost={self.boost}, bound={self.bound}."
            )

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        if self.alpha < 1.0:  # the gradient of ||c|| is c/||c||, and 0 at the start
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
