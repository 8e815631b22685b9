"""Uniform noise in place of an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class UniformNoise(UpdateAttack):
    """Uniform noise: each failing client sends its own random vector.

    Formula: ``v_ij ~ U[low, high)``, independently in every coordinate. With the default [0, 1) the vectors share a
    large mean. Any two of them have a cosine near 3/4, so they look like a cluster. With ``low=-1`` the mean is zero,
    which other libraries call random updates. :class:`FreeRider` sends the same noise to get the model for nothing.

    Knowledge: none.

    References
    ----------
    H. Almasi, H. Mishra, B. Vamanan, S. N. Ravi. Flag Aggregator: Scalable Distributed Training under Failures and
    Augmented Losses using Convex Optimization. ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import UniformNoise
    >>> UniformNoise()(np.zeros((8, 3)), f=2).round(2).tolist()
    [[0.85, 0.64, 0.51], [0.27, 0.31, 0.04]]
    """

    reference: ClassVar[str] = (
        "Almasi et al., Flag Aggregator: Scalable Distributed Training under Failures and Augmented Losses using "
        "Convex Optimization, ICLR 2024"
    )
    unfit: ClassVar[str] = (
        "as evidence of robustness: the length of its rows has nothing to do with honest updates, so that any rule "
        "that looks at lengths sees them"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("low", "high")
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    low: Annotated[float, Doc("smallest value of a coordinate")] = 0.0
    high: Annotated[float, Doc("largest value of a coordinate")] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise ParameterError(f"UniformNoise: `low` should satisfy low < high. Found {self.low} and {self.high}.")

    def craft(self, view: View) -> Tensor:
        unit = view.full(0.0).new_tensor(view.rng.random((view.f, view.d), dtype=np.float32))
        return self.low + (self.high - self.low) * unit
