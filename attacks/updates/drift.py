"""A shift in one lasting direction, as far as nobody stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View
from robustfl.threats.updates.constant_directions import Steady, steady_direction, steady_knowledge

from .min_max import MinMax

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Drift(TiledAttack):
    """Drift: the honest mean, shifted in one direction for the whole run, no farther away than honest clients are.

    Formula: ``v = mean(H) + gamma u`` with the largest gamma for which no honest update is farther from v than two
    honest updates are from each other (the budget of Min-Max), and a unit direction u that is kept: for the whole run,
    or towards a model that stays. In a single round this is within the noise; over many rounds the noise cancels and
    the shift does not. Rules without a memory cannot tell.

    Knowledge: all honest updates; for ``base`` and ``anti`` the global models too.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Learning from History for Byzantine Robust Optimization. ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Drift
    >>> Drift()(np.array([[0.0], [1.0], [2.0]]), f=1, message="delta").tolist()
    [[2.0]]
    """

    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    label_parameters: ClassVar[tuple[str, ...]] = ("steady",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

    steady: Annotated[Steady, Doc("the direction that is kept: where the weights are to go")] = "ones"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS | steady_knowledge(self.steady)

    def vector(self, view: View) -> Tensor:
        rows, mean = view.finite(), view.mean()
        if not len(rows):
            return mean
        direction = steady_direction(view, self.steady)
        return mean + MinMax().reach(view, rows, mean, direction) * direction
