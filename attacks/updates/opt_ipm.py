"""IPM with a factor that a line search finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import View
from robustfl.threats.updates.line_search import LineSearch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OptIPM(LineSearch):
    """Optimised IPM (Opt-IPM): inner-product manipulation with the factor that moves the defense's answer farthest.

    Formula: ``v = -tau mu``, where mu is the honest mean; tau maximises ``||AGG(V) - mu||``. As in published
    implementations, the search starts from the zero vector (``start=0``) and not from the honest mean. It looks at one
    round at a time. The attack is kept for comparison with other libraries; :class:`~robustfl.attacks.WhiteBox` is the
    stronger search.

    Knowledge: all honest updates and the defense.

    References
    ----------
    C. Xie, O. Koyejo, I. Gupta. Fall of Empires: Breaking Byzantine-Tolerant SGD by Inner Product Manipulation.
    UAI 2020.
    Y. Allouah, S. Farhadkhani, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. Fixing by Mixing: A Recipe for Optimal
    Byzantine ML under Heterogeneity. AISTATS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import OptIPM
    >>> from robustfl.defenses import Mean
    >>> crafted = OptIPM(evaluations=2)(np.ones((4, 2)), f=1, aggregate=Mean())
    >>> (-crafted).tolist()  # the mean follows as far as it is pulled
    [[10.0, 10.0]]
    """

    reference: ClassVar[str] = "Xie et al., Fall of Empires, UAI 2020"
    unfit: ClassVar[str] = (
        "as the strongest search: it looks at distance in one round alone, and is kept for comparison with other "
        "libraries; `white_box` is stronger"
    )

    def line(self, view: View) -> tuple[Tensor, Tensor]:
        return view.full(0.0), -view.mean()
