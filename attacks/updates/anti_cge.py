"""Just short enough to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor

SHORTER = 1.0 - 1e-12
"""Of the length that is too long: rules round lengths too, and the next smaller number may be the same to them."""


@dataclass(frozen=True, kw_only=True)
class AntiCGE(TiledAttack):
    """Against norm filters: backwards, and just shorter than the shortest honest update that has to go.

    Formula: with the h finite honest updates ordered by length and f as the defense believes it,
    ``v = -r s/||s||``, s the sum of the h - f shortest and r a hair below the length of the next one. A rule that keeps
    the n - f shortest then keeps every malicious update. Where h <= f or f = 0, s holds at least one update, and r is
    below the length of the shortest or the longest.

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
        while float(torch.linalg.vector_norm(vector, dtype=torch.float64)) > bound:  # after rounding
            vector = vector * (1.0 - torch.finfo(rows.dtype).eps)
        return vector
