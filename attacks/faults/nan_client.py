"""Clients whose training breaks down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class NaNClient(Fault):
    """NaN client: the training of some clients breaks down, and they send the broken result.

    Formula: from `start_round` on, the messages of these clients hold only NaN (``nan``), which a server has to refuse,
    or are `factor` times as long (``diverging``). One local step with a learning rate that is `factor` times too large
    gives such a message.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import NaNClient
    >>> rows, _ = NaNClient()(np.ones((8, 2)))
    >>> int(np.isnan(rows).any(axis=1).sum())
    1
    """

    unfit: ClassVar[str] = (
        "for failures that are hard to see: NaN is refused before any rule computes, and a message a thousand "
        "times as long is found by any bound on lengths"
    )

    name: ClassVar[str] = "nan_client"

    share: Annotated[
        float, Gt(0), Le(1), Doc("share of the clients to whom the fault happens, the same ones in all rounds")
    ] = 0.1
    mode: Annotated[Literal["nan", "diverging"], Doc("what these clients send")] = "nan"
    factor: Annotated[float, Gt(0), Doc("factor by which messages are too long in mode diverging")] = 1000.0

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        return messages * self.factor if self.mode == "diverging" else messages.new_full(messages.shape, math.nan)
