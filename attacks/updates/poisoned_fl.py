"""Fake clients that push in the same direction for many rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PoisonedFL(TiledAttack):
    """PoisonedFL: malicious updates with the same signs in every round, in proportion to the global model's steps.

    Formula: random signs s are kept for the whole run. g is the last step of the global model, and k is the update
    that was sent for it. Then ``v = c ||g|| (m / ||m||) s`` with the magnitudes ``m = |g - k ||g||/||k|||``, which are
    larger where the honest clients pulled away from k. c is `scale` at first. Every `period` rounds, the signs of the
    model's change in these rounds are compared with s. When they agree in fewer coordinates than chance alone may
    explain (99 % quantile), c is multiplied by `shrink`, but it never falls below `least`. In the first attacked round,
    ``v = ||o|| s/sqrt(d)``, where ||o|| is the mean length of the malicious clients' own updates. When clients send
    gradients, all signs are reversed.

    Knowledge: the global models, and once the lengths of the malicious clients' own updates.

    References
    ----------
    Y. Xie, M. Fang, N. Z. Gong. Model Poisoning Attacks to Federated Learning via Multi-Round Consistency. CVPR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import PoisonedFL
    >>> own = np.array([[6.0, 0.0, 0.0, 8.0]])
    >>> rows = PoisonedFL()(np.zeros((4, 4)), f=1, own=own, history=[np.zeros(4)])
    >>> abs(rows).tolist()  # in the first round, v is as long as the own update
    [[5.0, 5.0, 5.0, 5.0]]
    """

    reference: ClassVar[str] = (
        "Xie et al., Model Poisoning Attacks to Federated Learning via Multi-Round Consistency, CVPR 2025"
    )
    unfit: ClassVar[str] = (
        "in trainings that are hardly longer than `period`, as its size is fitted once in so many rounds, 50 by default"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.HISTORY

    scale: Annotated[float, Gt(0), Doc("c at first: length of an update, in lengths of the model's last step")] = 8.0
    period: Annotated[int, Ge(1), Doc("number of rounds from one comparison of signs to the next")] = 50
    shrink: Annotated[float, Gt(0), Lt(1), Doc("factor on c when the model has not followed the signs")] = 0.7
    least: Annotated[float, Gt(0), Doc("value below which c does not fall")] = 0.5

    def vector(self, view: View) -> Tensor:
        memory, outward = view.memory, 1.0 if view.message == "delta" else -1.0
        if "signs" not in memory:
            memory["signs"] = view.full(0.0).new_tensor(2.0 * view.rng.integers(2, size=view.d, dtype=np.int8) - 1.0)
            memory["scale"] = self.scale
        self._adapt(view)
        answer = view.previous_aggregate
        if "sent" not in memory or answer is None:
            own = view.finite("own")
            length = float(own.norm(dim=1).mean()) if len(own) else 0.0
            memory["sent"] = length / math.sqrt(view.d) * memory["signs"]
        else:
            memory["sent"] = consistent(outward * answer, memory["sent"], memory["signs"], memory["scale"])
        sent: Tensor = outward * memory["sent"]
        return sent

    def _adapt(self, view: View) -> None:
        """Every `period` rounds, make the updates shorter if the model has not followed the signs."""
        memory = view.memory
        if "anchor" not in memory:
            memory["anchor"] = view.round, view.weights.clone()
        since, before = memory["anchor"]
        if view.round - since < self.period:
            return
        memory["anchor"] = view.round, view.weights.clone()
        followed = (view.weights - before).sign()
        followed = followed.where(followed != 0, view.weights.sign())
        agreeing = int((followed == memory["signs"]).sum())
        if agreeing < agreeing_by_chance(view.d) and self.shrink * memory["scale"] >= self.least:
            memory["scale"] *= self.shrink


def consistent(step: Tensor, sent: Tensor, signs: Tensor, scale: float) -> Tensor:
    """The next malicious change of the model [d], given the model's last step and the change that was sent for it."""
    length = float(step.norm())
    magnitudes = (step - sent * (length / (float(sent.norm()) + 1e-9))).abs()
    total = float(magnitudes.norm())
    return magnitudes * (scale * length / total if total > 0.0 else 0.0) * signs


def agreeing_by_chance(d: int) -> int:
    """The 99 % quantile of the number of coordinates, out of d, in which two vectors of random signs agree."""
    from scipy.special import bdtr, bdtrik

    count = math.ceil(float(bdtrik(0.99, d, 0.5)))
    return count - 1 if count > 0 and float(bdtr(count - 1, d, 0.5)) >= 0.99 else count
