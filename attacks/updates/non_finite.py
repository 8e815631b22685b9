"""Updates with numbers that break arithmetic: NaN, infinity, and numbers that are too large to sum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class NonFinite(UpdateAttack):
    """Non-finite payloads: updates full of NaN or infinity, with some NaN, or with finite numbers too large to sum.

    Formula: ``nan``, ``inf`` and ``-inf`` fill the update with this value. ``sparse_nan`` puts NaN into a share
    `density` of the entries, and zeros elsewhere. ``huge`` fills the update with 0.3 times the largest finite number
    (1e38 in float32), of which a sum of a few already overflows.

    Knowledge: none. A library that lets one such row through returns NaN to everybody. :class:`Constant` sends zeros
    and other finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import NonFinite
    >>> NonFinite(payload="inf")(np.zeros((3, 2)), f=1).tolist()
    [[inf, inf]]
    """

    unfit: ClassVar[str] = (
        "as evidence of robustness: rules here refuse such rows before they compute, so it is a test of the code "
        "around them"
    )

    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    overflows: ClassVar[bool] = True

    payload: Annotated[Literal["nan", "inf", "-inf", "sparse_nan", "huge"], Doc("numbers that the update holds")] = (
        "nan"
    )
    density: Annotated[float, Gt(0), Le(1), Doc("share of NaN entries in sparse_nan; there is at least one")] = 1e-3

    def craft(self, view: View) -> Tensor:
        import torch

        if self.payload != "sparse_nan":
            huge = 0.3 * torch.finfo(view.full(0.0).dtype).max
            value = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "huge": huge}[self.payload]
            return view.full(value).repeat(view.f, 1)
        rows = view.full(0.0).repeat(view.f, 1)
        count = max(1, round(self.density * view.d))
        for row in rows:
            row[view.rng.choice(view.d, size=count, replace=False)] = math.nan
        return rows
