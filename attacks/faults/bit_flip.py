"""Messages in which bits flip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView
from robustfl.threats.bits import bit_masks, flipped

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BitFlip(Fault):
    """Bit flips: every bit of every message is flipped with a small probability.

    Formula: each of the w bits of each of the d numbers (w = 32 for float32) flips independently with probability
    `rate`. For example, flipping a bit of 1.0 gives -1 for bit 31, infinity for bit 30, 5.4e-20 for bit 29, 1.5 for
    bit 22 and 1.0000001 for bit 0. Numbers that are no longer finite are sent as they are, and the server has to refuse
    them. `CorruptedGradient` is the variant in which the sender replaces them.

    References
    ----------
    H. D. Dixit et al. Silent Data Corruptions at Scale. arXiv:2102.11245, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import BitFlip
    >>> rows, _ = BitFlip(rate=0.001)(np.ones((1, 1000), dtype=np.float32))
    >>> int((rows != 1).sum())
    35
    """

    reference: ClassVar[str] = "Dixit et al., Silent Data Corruptions at Scale, arXiv 2102.11245, 2021"
    unfit: ClassVar[str] = (
        "with a rate far below 1/(w d), for d numbers of w bits, at which most messages stay as they are"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Annotated[float, Gt(0), Le(1), Doc("chance that a bit is flipped")] = 1e-6

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        masks, rng = bit_masks(messages), moment.rng()
        bits, flips = messages.shape[1] * len(masks), np.zeros(messages.shape, dtype=np.int64)
        for row in flips:
            hit = rng.choice(bits, size=rng.binomial(bits, self.rate), replace=False, shuffle=False)
            np.bitwise_xor.at(row, hit // len(masks), masks[hit % len(masks)])
        return flipped(messages, flips)
