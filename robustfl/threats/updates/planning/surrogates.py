"""What a defense makes of the clients' mean and of an attacker's push, as functions that can be differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustfl.errors import InfeasibleError
from robustfl.threats.updates.view import View

if TYPE_CHECKING:
    from torch import Tensor

Surrogate = Callable[["Tensor", "Tensor"], "Tensor"]
"""The clients' mean update [k, d] and the attacker's directions [k, d] -> the answers [k, d] of the defense."""

LARGEST = 2.0
"""The largest share of the clients' mean that a defense is thought to keep."""


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """A defense whose answer is a share of the mean, moved in the attacker's direction: ``share m + reach delta``."""

    share: float
    reach: float

    def __call__(self, sent: Tensor, directions: Tensor) -> Tensor:
        return self.share * sent + self.reach * directions


@dataclass(frozen=True, kw_only=True)
class Votes:
    """A defense that counts signs: in each coordinate a step in the direction of the majority of n votes.

    Formula: h honest votes with the mean m and the standard deviation sigma of their values have the mean
    ``e = erf(m / (sqrt(2) sigma))``. With f votes of attackers for ``a = tanh(sqrt(d) delta)``, the answer is about
    ``step erf((h e + f a) / sqrt(2 h))``, the mean of the sign of a sum with normal noise. Coordinates on which honest
    clients agree cannot be moved.
    """

    step: float
    spread: Tensor
    honest: int
    malicious: int

    def __call__(self, sent: Tensor, directions: Tensor) -> Tensor:
        import torch

        agreed = torch.erf(sent / (math.sqrt(2) * self.spread))
        pushed = torch.tanh(math.sqrt(directions.shape[-1]) * directions)
        votes = self.honest * agreed + self.malicious * pushed
        return self.step * torch.erf(votes / math.sqrt(2 * self.honest))


def surrogate(view: View, rows: Tensor, reach: float, share: float | None = None) -> Surrogate:
    """What stands for the defense of this round, whose answer to harmless malicious updates is asked for.

    `rows` [h, d] are the honest updates or what stands for them. A defense whose answer has one absolute value in all
    coordinates counts signs. Of all others the share of the mean that they keep is measured. A defense that cannot
    answer is thought to be a mean.
    """
    usable = rows[rows.isfinite().all(dim=1)]
    mean = usable.mean(dim=0)
    asked = rows.new_empty((view.f + len(rows), view.d))
    asked[: view.f], asked[view.f :] = mean, rows
    try:
        answer = view.aggregate(asked)
    except InfeasibleError:
        return Shifted(share=1.0, reach=reach)
    sizes = answer[answer != 0].abs()
    if len(sizes) > 1 and float(sizes.max() - sizes.min()) <= 1e-6 * float(sizes.max()):
        spread = usable.std(dim=0, correction=0)
        return Votes(
            step=float(sizes[0]),
            spread=spread.clamp(min=1e-6 * float(spread.max()) + 1e-30),
            honest=len(usable),
            malicious=view.f,
        )
    if share is None:
        share = float(answer @ mean) / max(float(mean @ mean), 1e-30)
    return Shifted(share=min(max(share, 0.0), LARGEST) if math.isfinite(share) else 1.0, reach=reach)
