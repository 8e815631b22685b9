"""Searches for samples whose gradient is the message, with the labels that the message gives away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.optimising import Unrolling

if TYPE_CHECKING:
    from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class IDLG(Unrolling):
    """iDLG: labels are read off the message, and samples are searched whose gradient is the message (L-BFGS).

    Formula: minimise ``|grad L(x, y) - g|^2 / |g|^2`` over x, which begins at random in the range of the data and may
    leave it; of `restarts` searches the one with the smallest distance is handed in.

    It is made for smooth networks: with ReLU the gradient jumps, and the search is often stuck. Take
    `InvertingGradients` for those.

    Shapes: [k, d] -> n samples for each of k sightings. Cost: about 3 `iterations` gradients for k times `restarts`
    batches at once. Guarantee: none.

    References
    ----------
    B. Zhao, K. R. Mopuri, H. Bilen. iDLG: Improved Deep Leakage from Gradients. 2020.
    L. Zhu, Z. Liu, S. Han. Deep Leakage from Gradients. NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import IDLG
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 3))
    >>> network = Network(layers, (3,), classes=3)
    >>> model, x = torch.linspace(-1, 1, network.d).sin(), torch.tensor([[[0.1, 0.9, 0.5]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[1]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(3,), classes=3, images=False)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> found = IDLG(iterations=60).spy(facts).features[0]
    >>> bool((found - x[0]).abs().max() < 0.01)
    True
    """

    reference: ClassVar[str] = "Zhao et al., iDLG: Improved Deep Leakage from Gradients, 2020"
    unfit: ClassVar[str] = "in networks with ReLU, whose gradients jump: `inverting_gradients` is made for them"

    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 300
    restarts: Annotated[int, Ge(1), Doc("number of searches for each sighting")] = 4

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.inversion import leaked

        target = self.target(view)
        found, _, losses = leaked(target, self.iterations, self.restarts, view.rng, labels=True)
        return self.handed_in(view, target, view.clamped(found), losses)
