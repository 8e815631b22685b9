"""Omniscient label flipping: malicious clients send what honest clients would send if their labels were wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View
from robustfl.threats.updates.view import finite_rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OmniscientLabelFlip(TiledAttack):
    """Omniscient label flip: the mean update that honest clients would send if their labels were wrong.

    Formula: ``v`` is the mean of the updates that the honest clients would compute on their batches of this round with
    wrong labels. With C classes, ``reverse`` makes ``C - 1 - y`` of a label y, and ``cyclic`` makes ``(y + 1) mod C``
    of it. Several libraries call this label flipping. It needs the honest clients' data, which an adversary that only
    poisons its own data does not have; such an adversary uses `LabelFlip`. Updates that are not finite are left out.
    When none is finite, zeros are sent.

    Outside a federation nobody can train, and the updates on wrong labels are given as `relabelled` [h, d].

    Cost: the honest clients' training of the round is done a second time.

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
    unfit: ClassVar[str] = (
        "for adversaries that poison their own data alone, who are played by `label_flip`: it needs the honest "
        "clients' data"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DATA

    mode: Annotated[Literal["reverse", "cyclic"], Doc("how labels change")] = "reverse"

    def vector(self, view: View) -> Tensor:
        rows = view.relabelled(self._flip)
        rows = rows[finite_rows(rows).tolist()]
        return rows.mean(dim=0) if len(rows) else view.full(0.0)

    def _flip(self, labels: Tensor, classes: int) -> Tensor:
        return classes - 1 - labels if self.mode == "reverse" else (labels + 1) % classes
