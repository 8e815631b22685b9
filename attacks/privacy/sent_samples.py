"""Takes the samples that clients send for those that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class SentSamples(PrivacyAttack):
    """Sent samples: the virtual data of a client, handed in as they are.

    It computes nothing. What it finds says how much virtual data look like the samples that they are made from; with as
    many virtual samples as a batch holds, making them is what an inversion of the gradient does.

    Shapes: k sightings -> ``[k, m, *shape]``. Cost: none.

    Knowledge: the messages of clients, where these are samples.

    References
    ----------
    T. Dong, B. Zhao, L. Lyu. Privacy for Free: How does Dataset Condensation Help Privacy? ICML 2022 (which expects
    that condensed samples look like none of the originals; N. Carlini, V. Feldman, M. Nasr, No Free Lunch in "Privacy
    for Free", 2022, refutes its proof).

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import SentSamples
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> sent = torch.full((3, 1, 1, 2), 0.25), torch.tensor([0, 0, 1])
    >>> facts = PrivacyFacts(
    ...     observer="server",
    ...     sightings=[
    ...         Sighting(round=0, client=4, senders=(4,), model=torch.zeros(6), message=torch.zeros(6), samples=sent)
    ...     ],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2),
    ... )
    >>> found = SentSamples().spy(facts)
    >>> found.features[0].shape, found.labels[0]
    (torch.Size([3, 1, 1, 2]), tensor([0, 0, 1]))
    """

    reference: ClassVar[str] = "Carlini, Feldman and Nasr, No Free Lunch in 'Privacy for Free', 2022"
    unfit: ClassVar[str] = "where messages are no samples, as it hands in what was sent"
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = Capability.MESSAGE
    channels: ClassVar[tuple[str, ...]] = ("virtual_data",)
    explains: ClassVar[bool] = False

    def infer(self, view: PrivacyView) -> Reconstruction:
        features, labels = zip(*view.samples, strict=True)
        return Reconstruction(features=features, labels=labels)
