"""Updates whose signs are random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SignRandomising(UpdateAttack):
    """Sign randomising: malicious clients toss a coin for the sign of every entry of their own update.

    Formula: ``v_ij = o_ij s_ij``, where s_ij is 1 or -1 at random. The magnitudes and the norm stay those of an honest
    update. In many dimensions the direction is nearly orthogonal to it.

    Knowledge: the malicious clients' own updates.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import SignRandomising
    >>> abs(SignRandomising()(np.zeros((4, 3)), f=1, own=np.array([[1.0, -2.0, 3.0]]))).tolist()
    [[1.0, 2.0, 3.0]]
    """

    reference: ClassVar[str] = "Xu and Lyu, A Reputation Mechanism Is All You Need, FL-ICML 2021"
    unfit: ClassVar[str] = "as evidence of robustness: random signs are noise, which cancels in a mean of many"
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    def craft(self, view: View) -> Tensor:
        own = view.own
        return own * own.new_tensor(2.0 * view.rng.integers(2, size=tuple(own.shape)) - 1.0)
