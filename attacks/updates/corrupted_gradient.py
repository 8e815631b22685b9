"""Updates with flipped bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View
from robustfl.threats.bits import bit_masks, flipped

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CorruptedGradient(UpdateAttack):
    """Corrupted gradient: failing clients send their own updates with a random bit flipped in some coordinates.

    Formula: each coordinate of an own update is hit with probability `fraction`; one bit of a hit number, all bits
    alike, is flipped. A flip in the mantissa is noise, one of the sign a reversal, one high in the exponent makes the
    number astronomic or zero. What would not be finite becomes 0, as a check of the sender would have it: a row with a
    NaN in it is refused as a whole and does no harm (`NonFinite` sends those).

    Knowledge: own updates. No malice in it: it is what failing memory makes of an honest update.

    References
    ----------
    H. D. Dixit et al. Silent Data Corruptions at Scale. arXiv:2102.11245, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import CorruptedGradient
    >>> row = CorruptedGradient(fraction=0.5)(np.zeros((8, 6)), f=1, own=np.ones((1, 6)))
    >>> (row != 1.0).tolist()
    [[False, False, False, True, True, True]]
    """

    reference: ClassVar[str] = "Dixit et al., Silent Data Corruptions at Scale, arXiv 2102.11245, 2021"
    label_parameters: ClassVar[tuple[str, ...]] = ("fraction",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    fraction: Annotated[float, Gt(0), Le(1), Doc("share of the coordinates in which a bit is flipped")] = 1e-3

    def craft(self, view: View) -> Tensor:
        masks = bit_masks(view.own)
        hit = view.rng.random((view.f, view.d), dtype=np.float32) < self.fraction
        rows = flipped(view.own, np.where(hit, masks[view.rng.integers(len(masks), size=hit.shape)], 0))
        return rows.masked_fill(~rows.isfinite(), 0.0)
