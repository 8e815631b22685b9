"""Compares a model with shadow models that know a sample, or do not (LiRA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats.privacy.capability import OBSERVERS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class LiRA(PrivacyAttack):
    """Likelihood-ratio attack: how unusual is the model's confidence for a model that was not trained on the sample?

    Formula: with the confidence φ = log(p_y / (1 - p_y)) of the last model that was seen, `offline` scores a sample by
    ``(φ - median_out) / σ_out``, and `online` by ``log N(φ; μ_in, σ_in²) - log N(φ; μ_out, σ_out²)``, where `in` and
    `out` are the shadow models that were and were not trained on it. Deviations are pooled over the samples.

    Shapes: [q] candidates -> [q] scores. Cost: one forward pass of every shadow model, which all attacks share; the
    training of the shadows is the price.

    Where clients send predictions, the model is a copy of the owner's that the observer has made from these.

    Knowledge: a model of the training, and shadow federations with the same settings and, in this simulation, the same
    initial weights, clients and malicious clients. A real attacker has to guess some of that, so this is a strong one.

    References
    ----------
    N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramèr. Membership Inference Attacks From First Principles.
    IEEE Symposium on Security and Privacy, 2022.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.attacks import LiRA
    >>> from robustfl.privacy import Shadows
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, ShadowRuns, Sighting
    >>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2)
    >>> model = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    >>> known = np.array([[1.0, 1.0], [3.0, 0.0], [2.0, 2.0]])  # what three shadow models say of two candidates
    >>> inside = np.array([[False, False], [True, False], [False, True]])
    >>> facts = PrivacyFacts(
    ...     observer="public",
    ...     sightings=[Sighting(round=9, client=None, senders=(), model=model)],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=network,
    ...     candidates=(torch.tensor([[[[3.0, 0.0]]], [[[0.0, 1.0]]]]), torch.tensor([0, 1])),
    ...     shadows=ShadowRuns(
    ...         models=torch.zeros(3, 6),
    ...         candidates=Shadows(confidences=known, inside=inside),
    ...         auxiliary=np.zeros((3, 1)),
    ...     ),
    ... )
    >>> LiRA().spy(facts).scores.numpy().round(3)
    array([2.121, 0.707])
    """

    name: ClassVar[str] = "lira"
    reference: ClassVar[str] = "Carlini et al., Membership Inference Attacks From First Principles, S&P 2022"
    unfit: ClassVar[str] = (
        "with few shadow models, from which it estimates means and deviations; or as what any attacker can do, as "
        "its shadows share settings and initial weights with the federation"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("mode",)
    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS | Capability.SHADOWS
    channels: ClassVar[tuple[str, ...]] = (*PrivacyAttack.channels, "predictions")
    judges_members: ClassVar[bool] = True

    mode: Annotated[
        Literal["offline", "online"],
        Doc(
            "offline: how far the confidence is above that of models without the sample; online: also how near it is "
            "to that of models with it"
        ),
    ] = "offline"
    pooled: Annotated[
        bool, Doc("whether all samples share one deviation, which is better for fewer than about 64 shadows")
    ] = True

    def infer(self, view: PrivacyView) -> Memberships:
        import torch

        shadows, target = view.shadows.candidates, view.known()
        chosen = shadows.one_sided if self.mode == "offline" else shadows.two_models
        scores = torch.as_tensor(chosen(target, pooled=self.pooled))
        return Memberships(scores=scores, one_scale=self.mode == "offline")
