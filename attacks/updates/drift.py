"""A shift in one direction for the whole run, small enough not to stand out."""

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
    """Drift: the honest mean, shifted in one direction for the whole run, as far as honest updates are apart.

    Formula: ``v = mean(H) + gamma u`` with the largest gamma for which no honest update is farther from v than the two
    farthest honest updates are from each other (the budget of Min-Max). The unit direction u is the same for the whole
    run, or always points to the same model. In a single round the shift is within the noise. Over many rounds the noise
    cancels and the shift does not. Rules without a memory cannot notice this.

    Knowledge: all honest updates; the global models too for ``across``, ``base`` and ``anti``.

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
    unfit: ClassVar[str] = "in short trainings, as its shift is within the noise of a round and has to add up over many"
    label_parameters: ClassVar[tuple[str, ...]] = ("steady",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

    steady: Annotated[Steady, Doc("the direction in which the weights are pushed in every round")] = "ones"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS | steady_knowledge(self.steady)

    def vector(self, view: View) -> Tensor:
        rows, mean = view.finite(), view.mean()
        if not len(rows):
            return mean
        direction = steady_direction(view, self.steady)
        return mean + MinMax().reach(view, rows, mean, direction) * direction
