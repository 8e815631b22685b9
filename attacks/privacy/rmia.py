"""Asks how much more a model favours a sample than shadow models do, among public samples (RMIA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats.privacy.capability import OBSERVERS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class RMIA(PrivacyAttack):
    """Robust membership inference: the share of public samples that the model favours no more than this one.

    Formula: with the probability p of the true class and its mean p̄_out over shadow models that were not trained on the
    sample, ``r(x) = p(x) / (½ ((1 + a) p̄_out(x) + 1 - a))``. The score of x is the share of public samples z, on which
    no model was trained, with ``r(z) <= r(x)``. So a score above 0.99 is a threshold for about 1 % false alarms that
    needs no further tuning.

    Shapes: [q] candidates -> [q] scores. Cost: as for `LiRA`.

    Knowledge: a model of the training, shadow federations that were not trained on the sample, and public samples.

    References
    ----------
    S. Zarifzadeh, P. Liu, R. Shokri. Low-Cost High-Power Membership Inference Attacks. ICML 2024.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.attacks import RMIA
    >>> from robustfl.privacy import Shadows
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, ShadowRuns, Sighting
    >>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2)
    >>> samples = torch.tensor([[[[3.0, 0.0]]], [[[0.0, 1.0]]]]), torch.tensor([0, 1])
    >>> known = np.array([[1.0, 1.0], [3.0, 0.0], [2.0, 2.0]])
    >>> inside = np.array([[False, False], [True, False], [False, True]])
    >>> facts = PrivacyFacts(
    ...     observer="public",
    ...     sightings=[Sighting(round=9, client=None, senders=(), model=torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=network,
    ...     auxiliary=samples,
    ...     candidates=samples,
    ...     shadows=ShadowRuns(
    ...         models=torch.zeros(3, 6),
    ...         candidates=Shadows(confidences=known, inside=inside),
    ...         auxiliary=known,
    ...     ),
    ... )
    >>> RMIA().spy(facts).scores
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    reference: ClassVar[str] = "Zarifzadeh, Liu and Shokri, Low-Cost High-Power Membership Inference Attacks, ICML 2024"
    unfit: ClassVar[str] = (
        "without public samples of the same distribution and shadow models, to which its score is relative"
    )
    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS | Capability.SHADOWS | Capability.AUX
    judges_members: ClassVar[bool] = True

    a: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("how much a model without a sample says of one with it: 1 for the same probability, 0 for certainty"),
    ] = 0.3

    def infer(self, view: PrivacyView) -> Memberships:
        import torch

        shadows, target = view.shadows, view.confidences(view.candidates)
        public = view.confidences(view.auxiliary)
        return Memberships(
            scores=torch.as_tensor(shadows.candidates.relative(target, shadows.auxiliary, public, a=self.a))
        )
