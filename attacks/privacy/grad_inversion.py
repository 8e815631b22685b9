"""Searches for samples whose gradient is the message, with searches that agree with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.optimising import Unrolling

if TYPE_CHECKING:
    from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class GradInversion(Unrolling):
    """GradInversion without batch norm: several searches from different starts are drawn to their mean.

    Formula: minimise ``|grad L(x, y) - g|^2 / |g|^2 + smoothness TV(x) + agreement |x - mean of the searches|^2`` with
    Adam on the sign of the slope.

    What is missing: the published attack owes much of its quality to the batch statistics of batch-norm layers, which
    the models of this suite do not have (they would mix samples of a batch, and clients disagree about them). What
    remains is group consistency. Do not read its numbers as those of the paper.

    Shapes: [k, d] -> n samples for each of k sightings. Cost: `iterations` forward and two backward passes for k times
    `restarts` batches at once. Guarantee: none.

    References
    ----------
    H. Yin, A. Mallya, A. Vahdat, J. M. Alvarez, J. Kautz, P. Molchanov. See Through Gradients: Image Batch Recovery via
    GradInversion. CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import GradInversion
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> network = Network(layers, (1, 2, 2), classes=3)
    >>> model, x = torch.linspace(-1, 1, network.d), torch.tensor([[[[[0.1, 0.9], [0.5, 0.3]]]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[1]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> found = GradInversion(iterations=200, restarts=2).spy(facts)
    >>> bool((found.features[0] - x[0, 0]).abs().max() < 0.05)
    True
    """

    reference: ClassVar[str] = "Yin et al., See Through Gradients, CVPR 2021"
    unfit: ClassVar[str] = (
        "as the published attack, whose quality owes much to statistics of batch norm, which clients here never send"
    )

    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 600
    restarts: Annotated[int, Ge(1), Doc("number of searches that agree with each other")] = 4
    step_size: Annotated[float, Gt(0), Doc("step size of Adam, as a share of the range of the data")] = 0.1
    smoothness: Annotated[float, Ge(0), Doc("weight of the total variation")] = 1e-3
    agreement: Annotated[float, Ge(0), Doc("weight of the squared distance from the mean of the searches")] = 1e-2

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.inversion import Search, inverted, relative_distance

        search = Search(
            iterations=self.iterations,
            restarts=self.restarts,
            step_size=self.step_size,
            smoothness=self.smoothness,
            agreement=self.agreement,
            distance=relative_distance,
        )
        target = self.target(view)
        found, losses = inverted(target, search, view.rng)
        return self.handed_in(view, target, found, losses)
