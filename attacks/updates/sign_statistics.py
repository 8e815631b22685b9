"""As many positive and negative values as honest updates have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

from .min_max import MinMax

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SignStatistics(TiledAttack):
    """Sign statistics: updates with the signs, counted, and the length of honest ones, and nothing else of theirs.

    Formula: ``permuted``: as many positive, negative and zero entries as the honest mean has, in another order, with
    magnitudes from U(0, 1), scaled to the median honest length. ``alie``: ``mean(H) + z p``, ``min_max``:
    ``mean(H) + gamma p`` with the budget of Min-Max; p is the standard deviation of each coordinate, negative in half
    of all of them, so that the two counts change by about the same. Order, magnitudes and the half are drawn once:
    harm that goes another way in every round cancels.

    Knowledge: all honest updates.

    References
    ----------
    J. Xu, S.-L. Huang, L. Song, T. Lan. Byzantine-robust Federated Learning through Collaborative Malicious Gradient
    Filtering. ICDCS 2022 (the rule under attack).
    S. Li, E. C.-H. Ngai, F. Ye, L. Ju, T. Zhang, T. Voigt. Blades: A Unified Benchmark Suite for Byzantine Attacks and
    Defenses in Federated Learning. IoTDI 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import SignStatistics
    >>> honest = np.array([[3.0, 4.0, 0.0, -1.0]] * 4)
    >>> np.sign(SignStatistics()(honest, f=1)).tolist()
    [[1.0, -1.0, 0.0, 1.0]]
    """

    reference: ClassVar[str] = (
        "Li et al., Blades: A Unified Benchmark Suite for Byzantine Attacks and Defenses in Federated Learning, "
        "IoTDI 2024"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("mode",)
    made_for: ClassVar[tuple[str, ...]] = ("signguard",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    mode: Annotated[Literal["permuted", "alie", "min_max"], Doc("what has the signs of honest updates")] = "permuted"
    z: Annotated[float, Gt(0), Doc("standard deviations from the mean (alie)")] = 1.5

    def vector(self, view: View) -> Tensor:
        rows, mean = view.finite(), view.mean()
        if not len(rows):
            return mean
        if "order" not in view.memory:
            magnitudes = 1.0 - view.rng.random(view.d)  # never 0
            view.memory["order"], view.memory["magnitudes"] = view.rng.permutation(view.d), mean.new_tensor(magnitudes)
        order = view.memory["order"]
        if self.mode == "permuted":
            vector = mean.sign().sort().values
            vector[order] = vector.clone()
            vector *= view.memory["magnitudes"]
            length = float(vector.norm())
            return vector * (float(view.typical_length()) / length) if length else vector
        shift = view.std()
        shift[order[: view.d // 2]] *= -1.0
        if self.mode == "alie":
            return mean + self.z * shift
        return mean + MinMax().reach(view, rows, mean, shift) * shift if bool(shift.any()) else mean
