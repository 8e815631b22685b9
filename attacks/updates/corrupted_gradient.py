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

    Formula: each coordinate is hit with probability `fraction`, and one bit of a hit number is flipped; all bits are
    equally likely. A flip in the mantissa is noise, a flip of the sign reverses the number, and a flip high in the
    exponent makes it huge or almost zero. A number that would not be finite becomes 0, as if the sender had checked it:
    a row with a NaN would be refused as a whole and would do no harm (`NonFinite` sends such rows).

    Knowledge: the malicious clients' own updates. No malice is needed: failing memory does this to an honest update.

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
    unfit: ClassVar[str] = "as an attack: bits flip by chance, and most of them are noise in the mantissa"
    label_parameters: ClassVar[tuple[str, ...]] = ("fraction",)
    overflows: ClassVar[bool] = True  # broken hardware does not look at what it writes
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    fraction: Annotated[float, Gt(0), Le(1), Doc("share of the coordinates in which a bit is flipped")] = 1e-3

    def craft(self, view: View) -> Tensor:
        masks = bit_masks(view.own)
        hit = view.rng.random((view.f, view.d), dtype=np.float32) < self.fraction
        rows = flipped(view.own, np.where(hit, masks[view.rng.integers(len(masks), size=hit.shape)], 0))
        return rows.masked_fill(~rows.isfinite(), 0.0)
