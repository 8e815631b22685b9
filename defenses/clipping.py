"""Static norm clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import RowMap, Rows
from robustfl.aggregation.kernels.base import Floats


@dataclass(frozen=True, kw_only=True)
class Clipping(RowMap):
    """Norm clipping: updates longer than a radius are scaled back to it.

    Formula: ``y_i = x_i min(1, radius/||x_i||)``; ``radius="median"`` uses the median norm of the round.

    Shapes: [n, d] -> [n, d]. Cost: the norms, from the Gram; the clipped rows are never formed before a geometric
    rule. The input is not touched.

    Guarantee: no update contributes more than `radius`; directions are left alone, so clipping alone is not robust.

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
    breakdown: ClassVar[str] = "that of the next rule"
    reference: ClassVar[str] = "Sun et al., Can You Really Backdoor Federated Learning?, 2019"

    radius: Annotated[Literal["median"] | float, Gt(0), Doc("largest norm that is kept, or 'median'")] = "median"

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from a center; a radius that is a number is a length of its own."""
        shifts = frozenset({"translation", "box"})
        return shifts if self.radius == "median" else shifts | {"scaling", "consensus"}

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        norms = np.sqrt(rows.squared_norms)
        radius = float(np.median(norms)) if self.radius == "median" else self.radius
        return np.diag(np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius)), None
