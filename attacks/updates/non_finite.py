"""Payloads that no arithmetic survives."""

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
    """Non-finite payloads: updates full of NaN or infinity, sprinkled with NaN, or finite but too large to sum.

    Formula: ``nan``, ``inf`` and ``-inf`` fill the update; ``sparse_nan`` puts NaN into a share `density` of an
    otherwise zero update; ``huge`` fills it with 0.3 of the largest finite number (1e38 in float32), which no sum of
    a few survives.

    Knowledge: none. A library that lets one such row through returns NaN for everybody. Zeros and other numbers are
    those of :class:`Constant`.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import NonFinite
    >>> NonFinite(payload="inf")(np.zeros((3, 2)), f=1).tolist()
    [[inf, inf]]
    """

    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    payload: Annotated[Literal["nan", "inf", "-inf", "sparse_nan", "huge"], Doc("what the update holds")] = "nan"
    density: Annotated[float, Gt(0), Le(1), Doc("share of NaN entries in sparse_nan, at least one entry")] = 1e-3

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
