"""ALIE with a shift that a line search finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats import View
from robustfl.threats.updates.line_search import LineSearch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OptALIE(LineSearch):
    """Optimised ALIE (Opt-ALIE): a little is enough, with the shift that moves the defense's answer farthest.

    Formula: ``v = mu + s tau sigma`` with s = 1 (``plus``, as in other libraries) or s = -1 (``minus``); tau maximises
    ``||AGG(V) - mu||``. The search tries certain values of tau, so `ddof` changes which vectors it meets. It looks at
    one round at a time, and its objective misses harm that adds up over rounds. The attack is kept for comparison with
    other libraries; :class:`~robustfl.attacks.WhiteBox` is the stronger search.

    Knowledge: all honest updates and the defense.

    References
    ----------
    G. Baruch, M. Baruch, Y. Goldberg. A Little Is Enough: Circumventing Defenses For Distributed Learning.
    NeurIPS 2019.
    Y. Allouah, S. Farhadkhani, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. Fixing by Mixing: A Recipe for Optimal
    Byzantine ML under Heterogeneity. AISTATS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import OptALIE
    >>> from robustfl.defenses import Mean
    >>> OptALIE(evaluations=2)(np.array([[1.0], [3.0]]), f=1, aggregate=Mean()).tolist()
    [[12.0]]
    """

    reference: ClassVar[str] = "Baruch et al., A Little Is Enough, NeurIPS 2019"
    unfit: ClassVar[str] = (
        "as the strongest search: it looks at distance in one round alone, and is kept for comparison with other "
        "libraries; `white_box` is stronger"
    )

    sign: Annotated[
        Literal["plus", "minus"], Doc("direction of the shift: towards larger or towards smaller values")
    ] = "plus"
    ddof: Annotated[int, Ge(0), Le(1), Doc("the variance is divided by the number of rows minus ddof")] = 0

    def line(self, view: View) -> tuple[Tensor, Tensor]:
        spread = view.std(ddof=self.ddof)
        return view.mean(), spread if self.sign == "plus" else -spread
