"""The hidden-vulnerability attack, which puts all harm into one coordinate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import AttackError
from robustfl.threats import Knowledge, View
from robustfl.threats.updates.candidates import SearchLine
from robustfl.threats.updates.searched import SearchedAttack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OneCoordinate(SearchedAttack):
    """One coordinate (hidden vulnerability): the honest mean, with as much added to one coordinate as the rule accepts.

    Formula: ``v = mean(H) + tau r e_j`` with the tau that moves coordinate j of the defense's answer farthest; r is the
    median distance of the honest updates from their mean. Rules that judge distances between whole updates, as Krum
    does, tolerate in a single coordinate about sqrt(d) times its honest spread. ``coordinate="all"`` spreads the same
    length evenly over all coordinates.

    Knowledge: all honest updates and the defense, which is asked about every candidate.

    References
    ----------
    E. M. El Mhamdi, R. Guerraoui, S. Rouault. The Hidden Vulnerability of Distributed Learning in Byzantium. ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import OneCoordinate
    >>> from robustfl.defenses import Krum
    >>> honest = np.random.default_rng(0).normal(size=(10, 100))
    >>> crafted = OneCoordinate(coordinate=3)(honest, f=3, aggregate=Krum(f=3))
    >>> moved = Krum(f=3)(np.vstack([crafted, honest])) - honest.mean(axis=0)
    >>> bool(moved[3] > 5.0), bool(abs(np.delete(moved, 3)).max() < 1e-9)
    (True, True)
    """

    reference: ClassVar[str] = (
        "El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium, ICML 2018"
    )
    unfit: ClassVar[str] = "against column-wise rules, which bound every coordinate by itself"
    label_parameters: ClassVar[tuple[str, ...]] = ("coordinate",)
    made_for: ClassVar[tuple[str, ...]] = ("krum", "multi_krum")
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE

    coordinate: Annotated[
        Literal["last", "all"] | int,
        Ge(0),
        Doc("coordinate that is attacked, counted from 0; 'last', or 'all' of them at once"),
    ] = "last"

    @property
    def goal(self) -> str:
        return f"coordinate {self.coordinate}"

    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        mean, axis = view.mean(), self._axis(view)
        distances = (view.finite() - mean).norm(dim=1)
        radius = float(distances.double().quantile(0.5)) if len(distances) else 0.0
        return {"mean": mean, "axis": axis, "step": radius * axis}, [SearchLine("mean", "step")]

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        return lambda answer: float((answer - vectors["mean"]) @ vectors["axis"])

    def _axis(self, view: View) -> Tensor:
        if self.coordinate == "all":
            return view.full(view.d**-0.5)
        place = view.d - 1 if self.coordinate == "last" else self.coordinate
        if place >= view.d:
            raise AttackError(f"{self!r}: `coordinate` should be below d = {view.d}. Found {place}.")
        axis = view.full(0.0)
        axis[place] = 1.0
        return axis
