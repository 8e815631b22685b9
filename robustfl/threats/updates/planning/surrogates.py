"""What a defense makes of the clients' mean and of an attacker's push, as functions that can be differentiated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustfl.errors import InfeasibleError
from robustfl.threats.updates.view import View

if TYPE_CHECKING:
    from torch import Tensor

Surrogate = Callable[["Tensor", "Tensor"], "Tensor"]
"""The clients' mean update [k, d] and the attacker's directions [k, d] -> the answers [k, d] of the defense."""

Kept = tuple["Tensor", ...]
"""What a surrogate keeps of an answer for its derivative."""

LARGEST = 2.0
"""The largest share of the clients' mean that a defense is thought to keep."""


class WrittenSurrogate(ABC):
    """A surrogate whose derivative is written out, with the operations of autograd in their order."""

    def __call__(self, sent: Tensor, directions: Tensor) -> Tensor:
        return self.answer(sent, directions)[0]

    @abstractmethod
    def answer(self, sent: Tensor, directions: Tensor) -> tuple[Tensor, Kept]:
        """The answers [k, d], and what their derivative needs, which no longer depends on the arguments' memory."""

    @abstractmethod
    def pulled(self, along: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """From a derivative [k, d] by an answer those by what clients have sent and by the directions."""


@dataclass(frozen=True, kw_only=True)
class Shifted(WrittenSurrogate):
    """A defense whose answer is a share of the mean, moved in the attacker's direction: ``share m + reach delta``."""

    share: float
    reach: float

    def answer(self, sent: Tensor, directions: Tensor) -> tuple[Tensor, Kept]:
        return self.share * sent + self.reach * directions, ()

    def pulled(self, along: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        return along * self.share, along * self.reach


@dataclass(frozen=True, kw_only=True)
class Votes(WrittenSurrogate):
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

    def answer(self, sent: Tensor, directions: Tensor) -> tuple[Tensor, Kept]:
        import torch

        typical = sent / (math.sqrt(2) * self.spread)
        pushed = torch.tanh(math.sqrt(directions.shape[-1]) * directions)
        votes = (self.honest * torch.erf(typical) + self.malicious * pushed) / math.sqrt(2 * self.honest)
        return self.step * torch.erf(votes), (typical, pushed, votes)

    def pulled(self, along: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        import torch

        typical, pushed, votes = kept
        by_votes = _erf_pulled(along * self.step, votes) / math.sqrt(2 * self.honest)
        by_sent = _erf_pulled(by_votes * self.honest, typical) / (math.sqrt(2) * self.spread)
        turned: Tensor = torch.ops.aten.tanh_backward(by_votes * self.malicious, pushed)
        return by_sent, turned * math.sqrt(along.shape[-1])


def _erf_pulled(along: Tensor, at: Tensor) -> Tensor:
    """The derivative of the error function at a place, times another derivative."""
    return 2 / math.sqrt(math.pi) * (-at.square()).exp() * along


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
