"""Updates whose entries are multiplied by large random factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RandomRescaling(UpdateAttack):
    """Random rescaling: malicious clients multiply every entry of their own update by a random factor.

    Formula: ``v_ij = scale c_ij o_ij`` with ``c_ij ~ U(-spread, spread)``. The result is long and, in many dimensions,
    nearly orthogonal to an honest update.

    Knowledge: the malicious clients' own updates.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import RandomRescaling
    >>> bool((abs(RandomRescaling()(np.zeros((4, 3)), f=1, own=np.ones((1, 3)))) <= 100.0).all())
    True
    """

    reference: ClassVar[str] = "Xu and Lyu, A Reputation Mechanism Is All You Need, FL-ICML 2021"
    unfit: ClassVar[str] = "as evidence of robustness: its rows are long, which any rule that looks at lengths sees"
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    spread: Annotated[float, Gt(0), Doc("largest magnitude of a random factor")] = 10.0
    scale: Annotated[float, Gt(0), Doc("factor on the whole update")] = 10.0

    def craft(self, view: View) -> Tensor:
        own = view.own
        return own * own.new_tensor(self.scale * view.rng.uniform(-self.spread, self.spread, tuple(own.shape)))
