"""A long update that points in the same direction in every round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View
from robustfl.threats.updates.constant_directions import Steady, steady_direction, steady_knowledge

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ConstantDirection(TiledAttack):
    """Constant direction: an update in the same direction in every round, a few times as long as honest updates.

    Formula: ``v = length r u``, where r is the median length of the honest updates and u a unit direction. u is the
    same for the whole run, or always points to the same model. A rule that bounds what a row may add, but looks at one
    round alone, lets the row add that much in every round.

    Knowledge: all honest updates; the global models too for ``across``, ``base`` and ``anti``.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Learning from History for Byzantine Robust Optimization. ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ConstantDirection
    >>> ConstantDirection()(np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]]), f=1, message="delta").round(3).tolist()
    [[4.243, 4.243]]
    """

    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    unfit: ClassVar[str] = (
        "against rules that drop long updates, as it is three times as long as honest ones by default"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("steady",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

    steady: Annotated[Steady, Doc("the direction in which the weights are pushed in every round")] = "ones"
    length: Annotated[float, Gt(0), Doc("length of the update, in median lengths of honest updates")] = 3.0

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS | steady_knowledge(self.steady)

    def vector(self, view: View) -> Tensor:
        return self.length * view.typical_length() * steady_direction(view, self.steady)
