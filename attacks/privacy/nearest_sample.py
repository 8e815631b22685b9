"""Takes the samples for members that are close to one that their owner has sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class NearestSample(PrivacyAttack):
    """Nearest sample: who is close to a virtual sample was probably one of those from which it was made.

    Formula: the score of a candidate is ``-min ||x - s||`` over the samples s with its label that its owner has sent in
    the watched rounds. Without any such sample it is lower than every other score.

    Shapes: [q] candidates -> [q] scores. Cost: the distances of all candidates from all samples that were seen.

    Knowledge: the messages of clients, where these are samples.

    References
    ----------
    D. Chen, N. Yu, Y. Zhang, M. Fritz. GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative Models.
    CCS 2020 (the attack on a full black box, there for samples of a generator).

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.attacks import NearestSample
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> sent = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 1.0]]]]), torch.tensor([0, 1])
    >>> facts = PrivacyFacts(
    ...     observer="server",
    ...     sightings=[
    ...         Sighting(round=0, client=4, senders=(4,), model=torch.zeros(6), message=torch.zeros(6), samples=sent)
    ...     ],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2),
    ...     candidates=(torch.tensor([[[[0.0, 0.5]]], [[[1.0, 1.0]]], [[[1.0, 1.0]]]]), torch.tensor([0, 1, 0])),
    ...     owners=np.array([4, 4, 4]),
    ... )
    >>> NearestSample().spy(facts).scores
    tensor([-0.5000, -0.0000, -1.4142])
    """

    reference: ClassVar[str] = "Chen, Yu, Zhang and Fritz, GAN-Leaks, CCS 2020"
    unfit: ClassVar[str] = "where messages are no samples, as candidates are compared with those that were sent"
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = Capability.MESSAGE
    channels: ClassVar[tuple[str, ...]] = ("virtual_data",)
    judges_members: ClassVar[bool] = True

    def infer(self, view: PrivacyView) -> Memberships:
        import torch

        features, labels = view.candidates
        scores = features.new_full((len(labels),), -torch.inf)
        for client, (samples, classes) in zip(view.clients, view.samples, strict=True):
            own = torch.as_tensor(view.owners == client, device=labels.device)
            apart = torch.cdist(features[own].flatten(1), samples.flatten(1))
            apart = apart.where(labels[own, None] == classes, torch.inf)
            scores[own] = torch.maximum(scores[own], -apart.amin(dim=1))
        known = scores[scores.isfinite()]
        return Memberships(scores=scores.nan_to_num(neginf=float(known.min()) - 1.0 if len(known) else 0.0))
