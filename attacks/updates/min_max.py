"""Min-Max: an update whose largest distance to an honest update is that of the two farthest honest updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import View
from robustfl.threats.updates.geometry import products, squared_distances
from robustfl.threats.updates.perturbations import Perturbation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MinMax(Perturbation):
    """Min-Max: far from the honest mean, but no farther from any honest update than these are from each other.

    Formula: ``v = mu + gamma p`` with the largest gamma for which ``max_i ||v - x_i||^2`` is at most
    ``B = max_ik ||x_i - x_k||^2``. With ``a_i = mu - x_i``, this gamma is the smallest over i of
    ``(-a_i p + sqrt((a_i p)^2 + ||p||^2 (B - ||a_i||^2)))/||p||^2``. This is the exact solution; published
    implementations bisect, and stop at twice the factor that they start from.

    Knowledge: all honest updates, or only the malicious clients' own updates with ``estimate="own"``.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import MinMax
    >>> honest = np.array([[1.0, 0.0], [3.0, 1.0], [2.0, -1.0]])
    >>> MinMax(direction="unit")(honest, f=1).round(9).tolist()
    [[1.0, 0.0]]
    """

    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    unfit: ClassVar[str] = (
        "as the only attack: distances between honest updates bound it, whether or not the defense looks at distances"
    )

    def reach(self, view: View, rows: Tensor, mean: Tensor, direction: Tensor) -> float:
        import torch

        gram = products(torch.cat([rows - mean, direction[None]]))
        span = squared_distances(gram[:-1, :-1]).max()
        along, length = -gram[:-1, -1], gram[-1, -1]  # a_i p, ||p||^2
        room = length * (span - gram.diagonal()[:-1]).clamp(min=0.0)
        root = (along**2 + room).sqrt()
        # Of the two forms of the root, this takes the one that does not subtract nearly equal numbers.
        stable = torch.where(along > 0, room / (along + root).clamp(min=torch.finfo(root.dtype).tiny), root - along)
        return float(stable.min() / length)
