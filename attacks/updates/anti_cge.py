"""The attack on rules that keep the shortest updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor

SHORTER = 1.0 - 1e-12
"""Factor on the length that must not be reached. Rules round lengths too, and may take the next smaller number for the
same length."""


@dataclass(frozen=True, kw_only=True)
class AntiCGE(TiledAttack):
    """Anti-CGE: an update against the honest direction, just short enough that a norm filter keeps it.

    Formula: ``v = -r s/||s||``. The h finite honest updates are ordered by length, and f is the number that the defense
    assumes. s is the sum of the h - f shortest honest updates, and r is just below the length of the next one. A rule
    that keeps the n - f shortest updates then keeps every malicious update. When h <= f, s is the shortest honest
    update, and r is just below its length. When f = 0, r is just below the length of the longest honest update.

    Knowledge: all honest updates.

    References
    ----------
    N. Gupta, S. Liu, N. H. Vaidya. Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based Comparative
    Gradient Elimination. DSN Workshops 2021 (the rule under attack).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import AntiCGE
    >>> AntiCGE()(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 4.0]]), f=1).round(9).tolist()
    [[-4.0, -0.0]]
    """

    reference: ClassVar[str] = (
        "Gupta et al., Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based Comparative Gradient "
        "Elimination, DSN-W 2021 (the rule under attack)"
    )
    unfit: ClassVar[str] = (
        "against rules other than those that keep the shortest updates, for which its length is not chosen"
    )
    made_for: ClassVar[tuple[str, ...]] = ("cge",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    def vector(self, view: View) -> Tensor:
        import torch

        rows = view.finite()
        if not len(rows):
            return view.full(0.0)
        lengths, order = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).sort(stable=True)
        kept = len(rows) - view.declared_f
        backwards = -rows[order[: max(kept, 1)]].sum(dim=0, dtype=torch.float64)
        bound = SHORTER * float(lengths[min(max(kept, 0), len(rows) - 1)])
        length = float(backwards.norm())
        if not bound or not length:
            return view.full(0.0)
        vector = (backwards * (bound / length)).to(rows)
        while float(torch.linalg.vector_norm(vector, dtype=torch.float64)) > bound:  # rounding made it too long
            vector = vector * (1.0 - torch.finfo(rows.dtype).eps)
        return vector
