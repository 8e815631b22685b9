"""Sign flipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SignFlip(UpdateAttack):
    """Sign flip: malicious clients send the opposite of what they should send.

    Formula: mode ``own`` reverses each client's own update, ``v_i = -scale o_i``. Mode ``mean`` reverses the honest
    mean, ``v = -scale mean(H)``. Mode ``cancel`` sends ``v = -(h/f) mean(H)``, which makes the plain mean exactly 0.

    Knowledge: the malicious clients' own updates for ``own``, all honest updates for the other two modes.

    References
    ----------
    L. Li, W. Xu, T. Chen, G. B. Giannakis, Q. Ling. RSA: Byzantine-Robust Stochastic Aggregation Methods for
    Distributed Learning from Heterogeneous Datasets. AAAI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import SignFlip
    >>> SignFlip(mode="mean")(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]), f=1).tolist()
    [[-4.0, -5.0, -6.0]]
    """

    reference: ClassVar[str] = (
        "Li et al., RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning, AAAI 2019"
    )
    unfit: ClassVar[str] = (
        "as the only attack: it adapts to nothing, and a rule that withstands it may fall to attacks that hide"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    mode: Annotated[
        Literal["own", "mean", "cancel"],
        Doc("update that is reversed: the own one, or the honest mean (cancel: until the mean is 0)"),
    ] = "own"
    scale: Annotated[float, Gt(0), Doc("factor on the reversed update (modes own and mean)")] = 1.0

    def required_knowledge(self) -> Knowledge:
        return Knowledge.OWN if self.mode == "own" else Knowledge.PEERS

    def craft(self, view: View) -> Tensor:
        if self.mode == "own":
            return -self.scale * view.own
        scale = self.scale if self.mode == "mean" else view.h / view.f
        return (-scale * view.mean()).repeat(view.f, 1)
