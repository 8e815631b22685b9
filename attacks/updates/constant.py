"""An update with the same number in every coordinate."""

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
    """Constant: an update with the same finite number in every coordinate, zero by default.

    Formula: ``v = value 1``, where 1 is the vector of ones. ``"denormal"`` is the smallest positive number of the
    updates' type (1.4e-45 in float32). Its square is 0 and its inverse is infinite, which tests rules that divide by a
    norm.

    Knowledge: none. :class:`NonFinite` sends NaN, infinity and numbers that are too large to sum.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Constant
    >>> Constant(value=-2.0)(np.zeros((3, 2)), f=1).tolist()
    [[-2.0, -2.0]]
    """

    unfit: ClassVar[str] = "as evidence of robustness: it is a test of rules that divide by a norm"

    label_parameters: ClassVar[tuple[str, ...]] = ("value",)
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    value: Annotated[
        Literal["denormal"] | float, Doc("number in every coordinate, or 'denormal' for the smallest positive one")
    ] = 0.0

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
