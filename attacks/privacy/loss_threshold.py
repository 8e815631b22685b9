"""Takes the samples for members on which the model has the smallest loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.threats.privacy.capability import OBSERVERS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class LossThreshold(PrivacyAttack):
    """Loss threshold: a sample that the model gets more right is more likely to be one that it was trained on.

    Formula: the score is ``log p_y``, minus the loss of the last model that was seen.

    It needs nothing but that model, and is the yardstick of the other attacks on membership: it confuses members with
    easy samples, so at few false alarms it finds hardly any members, even where its area is well above a half.

    Where clients send predictions, the model is a copy of the owner's that the observer has made from these.

    Shapes: [q] candidates -> [q] scores. Cost: one forward pass over the candidates.

    Knowledge: a model of the training.

    References
    ----------
    S. Yeom, I. Giacomelli, M. Fredrikson, S. Jha. Privacy Risk in Machine Learning: Analyzing the Connection to
    Overfitting. CSF 2018.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import LossThreshold
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2)
    >>> model = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])  # each class has the feature of its number
    >>> candidates = torch.tensor([[[[3.0, 0.0]]], [[[0.0, 1.0]]]]), torch.tensor([0, 1])
    >>> facts = PrivacyFacts(
    ...     observer="public",
    ...     sightings=[Sighting(round=9, client=None, senders=(), model=model)],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=network,
    ...     candidates=candidates,
    ... )
    >>> LossThreshold().spy(facts).scores
    tensor([-0.0486, -0.3133], dtype=torch.float64)
    """

    reference: ClassVar[str] = "Yeom et al., Privacy Risk in Machine Learning, CSF 2018"
    unfit: ClassVar[str] = (
        "as the only audit of membership: it takes easy samples for members, and finds hardly any at few false alarms"
    )
    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS
    channels: ClassVar[tuple[str, ...]] = (*PrivacyAttack.channels, "predictions")
    judges_members: ClassVar[bool] = True

    def infer(self, view: PrivacyView) -> Memberships:
        import torch

        from robustfl.privacy.membership import log_likelihood

        return Memberships(scores=torch.as_tensor(log_likelihood(view.known())))
