"""Training that increases the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats.updates.local_training import LocalAttack, Start

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GradientAscent(LocalAttack):
    """Gradient ascent: malicious clients train to make the loss on their own data as large as they can.

    Formula: every local step goes along the gradient, not against it. With a single local step this is
    :class:`SignFlip`. With more steps it differs, because each step starts from a model that is already worse.

    Knowledge: the malicious clients' own data; the global model.

    References
    ----------
    S. Li, E. C.-H. Ngai, F. Ye, L. Ju, T. Zhang, T. Voigt. Blades: A Unified Benchmark Suite for Byzantine Attacks and
    Defenses in Federated Learning. IoTDI 2024.

    Examples
    --------
    >>> from robustfl.attacks import GradientAscent
    >>> GradientAscent(local_steps=5).required_knowledge().names()
    ['own', 'history']
    """

    reference: ClassVar[str] = (
        "Li et al., Blades: A Unified Benchmark Suite for Byzantine Attacks and Defenses in Federated Learning, "
        "IoTDI 2024"
    )
    unfit: ClassVar[str] = "beside `sign_flip` where clients make one local step, as both are the same there"

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        return change + start.rate * gradient
