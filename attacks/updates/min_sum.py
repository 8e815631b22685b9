"""Min-Sum: no larger a sum of squared distances to honest updates than honest updates have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import View
from robustfl.threats.updates.perturbations import Perturbation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MinSum(Perturbation):
    """Min-Sum: as far from the honest mean as possible, with squared distances that sum to no more than honest ones.

    Formula: ``v = mu + gamma p`` with the largest gamma for which ``sum_k ||v - x_k||^2`` is no more than
    ``max_i sum_k ||x_i - x_k||^2`` (``bound="max"``, as published) or ``min_i`` of it (the released code, more
    cautious). Sums around the mean make it ``gamma = max_i ||x_i - mu||/||p||``, or ``min_i``.

    Knowledge: all honest updates; ``estimate="own"`` knows the malicious clients' own updates only.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import MinSum
    >>> honest = np.array([[1.0, 0.0], [3.0, 1.0], [2.0, -1.0]])
    >>> MinSum(ddof=1)(honest, f=1).round(9).tolist()
    [[1.0, -1.0]]
    """

    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"

    bound: Annotated[
        Literal["max", "min"], Doc("which honest update's sum is the bound: the largest, or the smallest")
    ] = "max"

    def reach(self, view: View, rows: Tensor, mean: Tensor, direction: Tensor) -> float:
        import torch

        lengths = torch.linalg.vector_norm(rows - mean, dim=1, dtype=torch.float64)
        length = torch.linalg.vector_norm(direction, dtype=torch.float64)
        return float((lengths.max() if self.bound == "max" else lengths.min()) / length)
