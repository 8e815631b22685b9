"""The white-box attack that pushes in one direction for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import View
from robustfl.threats.updates.candidates import SearchLine
from robustfl.threats.updates.constant_directions import Steady, steady_direction
from robustfl.threats.updates.searched import SearchedAttack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ConsistentWhiteBox(SearchedAttack):
    """Consistent-direction white-box (cdwb): the update that moves the answer farthest in one lasting direction.

    Formula: u is a unit direction that is kept for the whole run. The attack maximises ``<AGG(V), u>`` over the lines
    ``mu + tau sigma sign(u)``, ``mu + tau r u``, ``a + tau r u`` and ``mu + tau (ext_u - mu)``. Here sigma is the
    honest standard deviation of each coordinate, r the median length of honest updates, a the previous aggregate, and
    ext_u holds in every coordinate the honest extreme on the side of u. On each line tau is 0, a value of a geometric
    grid up to 50, or one of a few values around the best of these. With ``harm="relocated"`` the attack maximises
    ``<AGG(V), a + r u - mu>`` instead. This points to where relocated perturbations lie: it pulls away from the honest
    updates and keeps what the previous rounds have won. In the first round there is no a, and both are the same.

    Noise hides a small shift in one round, but when the direction is kept, the shifts add up over many rounds
    (Karimireddy et al. 2021). Searches that look at one round alone miss this harm, and rules without a memory cannot
    see it.

    Knowledge: all honest updates, the global models so far, and the defense.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Learning from History for Byzantine Robust Optimization. ICML 2021 (for the
    weakness that the attack exploits).
    K. Özfatura, E. Özfatura, A. Küpçü, D. Gündüz. Byzantines Can Also Learn From History: Fall of Centered Clipping in
    Federated Learning. IEEE Transactions on Information Forensics and Security, 2024 (for the relocation).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ConsistentWhiteBox
    >>> from robustfl.defenses import GeometricMedian
    >>> honest = np.random.default_rng(0).normal(0.0, 0.1, size=(8, 3))
    >>> attack = ConsistentWhiteBox(steady="ones")
    >>> crafted = attack(honest, f=3, aggregate=GeometricMedian(), history=[np.zeros(3)], message="delta")
    >>> bool(GeometricMedian()(np.vstack([crafted, honest])).sum() > honest.mean(axis=0).sum())
    True
    """

    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    unfit: ClassVar[str] = (
        "as the only search: it pushes in one direction that it keeps, and other aims may harm more, see "
        "`white_box` and `planned_drift`"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("steady",)

    steady: Annotated[Steady, Doc("the direction u in which the weights are pushed for the whole run")] = "ones"
    harm: Annotated[
        Literal["fixed", "relocated"], Doc("whether to pull along u, or towards the previous aggregate shifted along u")
    ] = "fixed"

    @property
    def needs_model(self) -> bool:
        return self.steady in ("base", "anti")

    @property
    def goal(self) -> str:
        return f"{self.harm} {self.steady}"

    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        mean, unit = view.mean(), steady_direction(view, self.steady)
        vectors = {
            "mean": mean,
            "unit": unit,
            "step": view.typical_length() * unit,
            "spread": view.std() * unit.sign(),
            "extreme": view.farthest(unit) - mean,
        }
        lines = [SearchLine("mean", "spread"), SearchLine("mean", "step"), SearchLine("mean", "extreme")]
        previous = view.previous_aggregate
        if previous is not None:
            vectors["previous"] = previous
            vectors["aim"] = previous + vectors["step"] - mean
            lines.append(SearchLine("previous", "step"))
        return vectors, lines

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        aim = vectors["aim" if self.harm == "relocated" and "aim" in vectors else "unit"]
        return lambda answer: float(answer @ aim)
