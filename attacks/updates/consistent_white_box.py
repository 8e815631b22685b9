"""The white-box attack that pushes into one direction for the whole run."""

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
    """Consistent-direction white-box (cdwb): in every round the farthest that the defense lets one direction go.

    Formula: with a unit direction u for the whole run, maximise ``<AGG(V), u>`` over ``mu + tau sigma sign(u)``,
    ``mu + tau r u``, ``a + tau r u`` and ``mu + tau (ext_u - mu)``: sigma the honest standard deviations, r the median
    length of honest updates, a the previous aggregate, ext_u in every coordinate the honest extreme on the side of u;
    tau in {0}, a geometric grid up to 50, and a few points around the best of them. With ``harm="relocated"`` maximise
    ``<AGG(V), a + r u - mu>``: towards where relocated perturbations lie, which pulls out of the honest updates and
    keeps what the previous rounds have won. In the first round, when there is no a, both are the same.

    What noise hides in one round adds up over many when the direction is kept (Karimireddy et al. 2021): searches that
    look at one round alone miss it, and rules without a memory cannot see it.

    Knowledge: all honest updates, the models so far and the defense.

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
    label_parameters: ClassVar[tuple[str, ...]] = ("steady",)

    steady: Annotated[Steady, Doc("the direction u that is kept for the whole run")] = "ones"
    harm: Annotated[Literal["fixed", "relocated"], Doc("whether to pull along u, or to a point that moves along")] = (
        "fixed"
    )

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
