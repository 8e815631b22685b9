"""What honest clients would send if their labels were wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View
from robustfl.threats.knowledge import finite_rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OmniscientLabelFlip(TiledAttack):
    """Omniscient label flip: all malicious clients send what honest clients would on average, had they wrong labels.

    Formula: ``v`` is the mean of the updates that the honest clients would compute on the batches of this round with
    C classes relabelled, ``reverse``: ``y -> C - 1 - y``; ``cyclic``: ``y -> (y + 1) mod C``. Several libraries call
    this label flipping. It takes the honest clients' data, which poisoners do not have; with data of its own alone the
    adversary is left with `LabelFlip`. Updates that are not finite are left out; zeros are sent when all are such.

    Outside a federation, where nobody can train, the updates on wrong labels are given as `relabelled` [h, d].
    Cost: the training of the honest clients again.

    Knowledge: all honest updates and the data behind them.

    References
    ----------
    Y. Allen-Zhu, F. Ebrahimian, J. Li, D. Alistarh. Byzantine-Resilient Non-Convex Stochastic Gradient Descent.
    ICLR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import OmniscientLabelFlip
    >>> on_wrong_labels = np.array([[-1.0, 0.0], [-3.0, 2.0]])
    >>> OmniscientLabelFlip()(np.ones((2, 2)), f=1, relabelled=on_wrong_labels).tolist()
    [[-2.0, 1.0]]
    """

    reference: ClassVar[str] = "Allen-Zhu et al., Byzantine-Resilient Non-Convex Stochastic Gradient Descent, ICLR 2021"
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    mode: Annotated[Literal["reverse", "cyclic"], Doc("how labels change")] = "reverse"

    def vector(self, view: View) -> Tensor:
        rows = view.relabelled(self._flip)
        rows = rows[finite_rows(rows).tolist()]
        return rows.mean(dim=0) if len(rows) else view.full(0.0)

    def _flip(self, labels: Tensor, classes: int) -> Tensor:
        return classes - 1 - labels if self.mode == "reverse" else (labels + 1) % classes
