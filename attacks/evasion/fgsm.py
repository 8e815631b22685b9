"""The fast gradient sign method: one signed step that increases the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import Evasion, Knowledge, Victim
from robustfl.threats.evasion import climbed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FGSM(Evasion):
    """Fast gradient sign method: every feature of a test sample moves by epsilon in the direction of a larger loss.

    Formula: ``x' = x + epsilon sign(grad_x L(x, y))``, within the range of the data; L is the cross-entropy.

    Knowledge: the model, with gradients. One step often stays far from the worst change, so this attack is only a
    sanity check beside `PGD`.

    References
    ----------
    I. J. Goodfellow, J. Shlens, C. Szegedy. Explaining and Harnessing Adversarial Examples. ICLR 2015.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import FGSM
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> FGSM(epsilon=0.2)(model, torch.tensor([[0.5, 0.4]]), torch.tensor([0]))
    tensor([[0.3000, 0.6000]])
    """

    reference: ClassVar[str] = "Goodfellow et al., Explaining and Harnessing Adversarial Examples, ICLR 2015"
    unfit: ClassVar[str] = (
        "alone: one step often stays far from the worst change, and a model that hides its gradients looks robust; "
        "play `pgd` and `zeroth_order` beside it"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    def perturb(self, victim: Victim) -> Tensor:
        def slope(features: Tensor) -> Tensor:
            return victim.gradient(features, victim.labels)

        return climbed(victim.features, victim.lower, victim.upper, slope, step_size=self.epsilon, steps=1)
