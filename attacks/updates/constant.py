"""The same number everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Constant(TiledAttack):
    """Constant: an update with the same finite number in every coordinate, such as nothing but zeros.

    Formula: ``v = value 1``; ``"denormal"`` is the smallest positive number of the updates' type (1.4e-45 in float32),
    whose square is 0 and whose inverse is infinite: bait for rules that divide by a norm.

    Knowledge: none. For NaN, infinity and numbers too large to sum see :class:`NonFinite`.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Constant
    >>> Constant(value=-2.0)(np.zeros((3, 2)), f=1).tolist()
    [[-2.0, -2.0]]
    """

    label_parameters: ClassVar[tuple[str, ...]] = ("value",)
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    value: Annotated[Literal["denormal"] | float, Doc("number in every coordinate, or 'denormal'")] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value != "denormal" and not math.isfinite(self.value):
            raise ParameterError(
                f"Constant: `value` should be finite. Found {self.value}. NonFinite sends what is not a number."
            )

    def vector(self, view: View) -> Tensor:
        import torch

        if self.value != "denormal":
            return view.full(self.value)
        limits = torch.finfo(view.full(0.0).dtype)
        return view.full(limits.smallest_normal * limits.eps)
