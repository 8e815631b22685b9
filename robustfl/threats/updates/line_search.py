"""The contract of attacks that search along a single line, as published libraries do."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats.knowledge import Knowledge, View
from robustfl.threats.updates.candidates import SearchLine, climb, harm_at, swing
from robustfl.threats.updates.contract import TiledAttack
from robustfl.threats.updates.probing import Probe

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LineSearch(TiledAttack):
    """Sends ``base + tau direction`` with the tau that moves the defense's answer farthest from the honest mean."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE

    evaluations: Annotated[int, Ge(1), Doc("number of candidates that the defense is asked about per round")] = 20
    start: Annotated[float, Ge(0), Doc("first value of tau")] = 0.0
    step: Annotated[float, Gt(0), Doc("first step of the search, in tau")] = 10.0
    method: Annotated[
        Literal["climb", "swing"],
        Doc("search that only looks at larger tau, as in ByzFL, or on both sides, as in ByzantineMomentum"),
    ] = "climb"

    @abstractmethod
    def line(self, view: View) -> tuple[Tensor, Tensor]:
        """The base [d] and the direction [d] of the line."""

    def vector(self, view: View) -> Tensor:
        base, direction = self.line(view)
        probe = Probe(view, {"base": base, "direction": direction, "mean": view.mean()}, self.offsets(view))
        line = SearchLine("base", "direction")

        def deviation(answer: Tensor) -> float:
            return float((answer - probe.vectors["mean"]).norm())

        def harm(tau: float) -> float:
            return harm_at(probe, line, tau, deviation)

        search = climb if self.method == "climb" else swing
        tau = search(harm, evaluations=self.evaluations, start=self.start, step=self.step)
        return base + tau * direction
