"""The contract of attacks that go from the honest mean along one direction, up to a limit."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats.knowledge import Knowledge, View
from robustfl.threats.updates.contract import TiledAttack
from robustfl.threats.updates.geometry import needed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Perturbation(TiledAttack):
    """Sends ``mu + gamma p``, with p one of ``-mu/||mu||`` (``unit``), ``-sign(mu)`` (``sign``), ``-sigma`` (``std``).

    When mu is 0, `unit` and `sign` use a random direction. When the updates are all equal, `std` sends mu.
    """

    label_parameters: ClassVar[tuple[str, ...]] = ("direction",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    direction: Annotated[
        Literal["unit", "sign", "std"],
        Doc("direction p: against the mean, against its signs, or down along the standard deviations"),
    ] = "std"
    estimate: Annotated[
        Literal["peers", "own"],
        Doc("whose updates are known: those of all honest clients, or the malicious clients' own"),
    ] = "peers"
    ddof: Annotated[int, Ge(0), Le(1), Doc("the variance is divided by the number of rows minus ddof")] = 0

    def required_knowledge(self) -> Knowledge:
        return needed(self.estimate)

    @abstractmethod
    def reach(self, view: View, rows: Tensor, mean: Tensor, direction: Tensor) -> float:
        """The factor gamma, given the rows [k, d], their mean [d] and a direction [d] that is not 0."""

    @final
    def vector(self, view: View) -> Tensor:
        rows = view.finite(self.estimate)
        if not len(rows):
            return view.full(0.0)
        mean = rows.mean(dim=0)
        direction = self._direction(view, rows, mean)
        return mean + self.reach(view, rows, mean, direction) * direction if bool(direction.any()) else mean

    def _direction(self, view: View, rows: Tensor, mean: Tensor) -> Tensor:
        import torch

        if self.direction == "std":
            return -rows.std(dim=0, correction=self.ddof) if len(rows) > self.ddof else view.full(0.0)
        away = -mean if bool(mean.any()) else view.normal()
        if self.direction == "sign":
            return away.sign()
        unit: Tensor = away / torch.linalg.vector_norm(away, dtype=torch.float64)
        return unit.to(mean)
