"""Min-Sum: an update whose squared distances to honest updates sum to no more than those of an honest update."""

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

    Formula: ``v = mu + gamma p`` with the largest gamma for which ``sum_k ||v - x_k||^2`` is at most
    ``max_i sum_k ||x_i - x_k||^2`` (``bound="max"``, as published) or the minimum over i (``bound="min"``, as in the
    released code, which is more cautious). Written around the mean, this is ``gamma = max_i ||x_i - mu||/||p||``, or
    the minimum over i.

    Knowledge: all honest updates, or only the malicious clients' own updates with ``estimate="own"``.

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
    unfit: ClassVar[str] = (
        "as the only attack: sums of squared distances bound it, whether or not the defense looks at these"
    )

    bound: Annotated[
        Literal["max", "min"], Doc("whether the bound is the largest or the smallest sum of an honest update")
    ] = "max"

    def reach(self, view: View, rows: Tensor, mean: Tensor, direction: Tensor) -> float:
        import torch

        lengths = torch.linalg.vector_norm(rows - mean, dim=1, dtype=torch.float64)
        length = torch.linalg.vector_norm(direction, dtype=torch.float64)
        return float((lengths.max() if self.bound == "max" else lengths.min()) / length)
