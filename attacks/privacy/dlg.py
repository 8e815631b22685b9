"""Searches for samples and labels whose gradient is the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.optimising import Unrolling

if TYPE_CHECKING:
    from robustfl.threats.privacy.network import Network
    from robustfl.threats.privacy.view import Circumstances, PrivacyView


@dataclass(frozen=True, kw_only=True)
class DLG(Unrolling):
    """Deep leakage from gradients: samples and labels are searched together whose gradient is the message (L-BFGS).

    Formula: minimise ``|grad L(x, softmax(v)) - g|^2 / |g|^2`` over samples x and label scores v; both begin at random.
    Of `restarts` searches the one with the smallest distance is handed in.

    It is the historical baseline. Labels that are searched for make it fail often; `IDLG` reads them off. Both are made
    for smooth networks.

    Shapes: [k, d] -> n samples for each of k sightings. Cost: about 3 `iterations` gradients for k times `restarts`
    batches at once. Guarantee: none.

    References
    ----------
    L. Zhu, Z. Liu, S. Han. Deep Leakage from Gradients. NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import DLG
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 3))
    >>> network = Network(layers, (3,), classes=3)
    >>> model, x = torch.linspace(-1, 1, network.d).sin(), torch.tensor([[[0.1, 0.9, 0.5]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[1]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(3,), classes=3, images=False)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> found = DLG(iterations=60, restarts=2).spy(facts)
    >>> found.labels[0].tolist(), bool((found.features[0] - x[0]).abs().max() < 0.02)
    ([1], True)
    """

    reference: ClassVar[str] = "Zhu et al., Deep Leakage from Gradients, NeurIPS 2019"
    unfit: ClassVar[str] = (
        "as the strongest search: it is the historical baseline, and fails often because it also searches for labels"
    )

    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 300
    restarts: Annotated[int, Ge(1), Doc("number of searches for each sighting")] = 4

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        return None  # labels are searched for, whatever the last layer is

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.inversion import leaked

        target = self.target(view)
        found, labels, losses = leaked(target, self.iterations, self.restarts, view.rng, labels=False)
        return Reconstruction(
            features=list(view.clamped(found).flatten(1, 2)), labels=list(labels.flatten(1)), losses=losses
        )
