"""Static norm clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import RowMap, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import Change, Unbounded


@dataclass(frozen=True, kw_only=True)
class Clipping(RowMap):
    """Norm clipping: updates longer than a radius are scaled back to it.

    Formula: ``y_i = x_i min(1, radius/||x_i||)``; ``radius="median"`` uses the median norm of the round.

    Shapes: [n, d] -> [n, d]. Cost: the norms. In front of a geometric rule they come from its Gram, and the clipped
    rows are never formed. The input is not modified.

    Guarantee: no row is longer than `radius` afterwards. Directions do not change, so clipping alone is not robust.

    Sensitivity: for a radius that is a number, a replaced row changes one new row, by ``2 min(clip, radius)``. With
    "median" the radius is data: one row can move it from 0 to clip, and with it half of all rows.

    References
    ----------
    Z. Sun, P. Kairouz, A. T. Suresh, H. B. McMahan. Can You Really Backdoor Federated Learning? 2019.

    Examples
    --------
    >>> from robustfl.defenses import Clipping, Mean
    >>> (Clipping(radius=5.0) >> Mean())([[3.0, 4.0], [30.0, 40.0]]).tolist()
    [3.0, 4.0]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "bounds the length of every update, not its direction"
    breakdown: ClassVar[str] = "the breakdown point of the next rule"
    unfit: ClassVar[str] = (
        "alone, as it limits lengths and no directions; and in front of rules that compare full models instead of "
        "updates, where every length is that of the model"
    )
    no_sensitivity: ClassVar[str] = (
        "the radius is data: one row moves it, and with it half of all rows, by up to clip/2 in the mean whatever n"
    )
    reference: ClassVar[str] = "Sun et al., Can You Really Backdoor Federated Learning?, 2019"

    radius: Annotated[
        Literal["median"] | float,
        Gt(0),
        Doc("norm to which longer updates are clipped; 'median' is the round's median norm"),
    ] = "median"

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from the origin, and a radius that is a number fixes a unit of length."""
        shifts = frozenset({"translation", "box"})
        return shifts if self.radius == "median" else shifts | {"scaling", "consensus"}

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        norms = np.sqrt(rows.squared_norms)
        radius = float(np.median(norms)) if self.radius == "median" else self.radius
        return np.diag(np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius)), None

    def carried(self, change: Change) -> Change | Unbounded:
        return self.unknown() if self.radius == "median" else change.capped(self.radius)
