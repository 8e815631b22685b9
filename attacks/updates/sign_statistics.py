"""Updates with as many positive and negative values as honest updates have."""

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
    """Sign statistics: updates that have honest numbers of positive and negative entries, but harm the model.

    Formula: ``permuted`` has as many positive, negative and zero entries as the honest mean, but in another order. Its
    magnitudes come from U(0, 1) and are scaled to the median honest length. ``alie`` sends ``mean(H) + z p``, and
    ``min_max`` sends ``mean(H) + gamma p`` with the budget of Min-Max. Here p is the standard deviation of each
    coordinate, with a negative sign in half of the coordinates, so that positive and negative entries change by about
    the same number. The order, the magnitudes and the half are drawn once, because harm that changes its direction in
    every round would cancel.

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
    unfit: ClassVar[str] = "against rules that do not count signs, for which it spares what nobody looks at"
    label_parameters: ClassVar[tuple[str, ...]] = ("mode",)
    made_for: ClassVar[tuple[str, ...]] = ("signguard",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    mode: Annotated[
        Literal["permuted", "alie", "min_max"],
        Doc("update that gets honest sign counts: random magnitudes, or a shift as in ALIE or Min-Max"),
    ] = "permuted"
    z: Annotated[float, Gt(0), Doc("length of the shift in standard deviations, in mode alie")] = 1.5

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
