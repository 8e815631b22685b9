"""Searches for samples whose gradient points where the message points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.optimising import Unrolling

if TYPE_CHECKING:
    from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class InvertingGradients(Unrolling):
    """Inverting gradients: the samples whose gradient has the direction of the message.

    Formula: minimise ``1 - cos(grad L(x, y), g) + smoothness TV(x)`` over x in the range of the data, with Adam on the
    sign of the slope; TV is the mean difference of neighbouring pixels. Of `restarts` searches the one with the
    smallest distance, without TV, is handed in. A client that made several local steps is unrolled, with the labels
    dealt to the steps in turn, or its steps are taken for one big batch.

    Labels come from `LabelCounts` unless they are given; given ones are the truth, and results are then marked.

    Against messages that were pruned or quantised, `adapts` compares what such a message can say: see
    :func:`~robustfl.threats.privacy.inversion.pruned_distance` and
    :func:`~robustfl.threats.privacy.inversion.quantised_distance`.

    Shapes: [k, d] -> n samples for each of k sightings. Cost: `iterations` forward and two backward passes for k times
    `restarts` batches at once. Guarantee: none; it finds single samples of small networks almost always, and fewer the
    larger the batch and the longer the training.

    References
    ----------
    J. Geiping, H. Bauermeister, H. Dröge, M. Moeller. Inverting Gradients - How Easy Is It to Break Privacy in
    Federated Learning? NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import InvertingGradients
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> network = Network(layers, (1, 2, 2), classes=3)
    >>> model, x = torch.linspace(-1, 1, network.d), torch.tensor([[[[[0.1, 0.9], [0.5, 0.3]]]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[1]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> found = InvertingGradients(iterations=200, restarts=2).spy(facts)
    >>> bool((found.features[0] - x[0, 0]).abs().max() < 0.02)
    True
    """

    reference: ClassVar[str] = "Geiping et al., Inverting Gradients, NeurIPS 2020"
    unfit: ClassVar[str] = (
        "as proof that nothing leaks where it fails: it has no guarantee, and finds less the larger the batch and "
        "the longer the training"
    )

    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 600
    restarts: Annotated[int, Ge(1), Doc("number of searches for each sighting")] = 4
    step_size: Annotated[float, Gt(0), Doc("step size of Adam, as a share of the range of the data")] = 0.1
    smoothness: Annotated[
        float, Ge(0), Doc("weight of the total variation; 0.001 without noise in messages, 0.01 with noise")
    ] = 1e-3
    adapts: Annotated[
        Literal["nothing", "pruning", "quantisation"], Doc("which change of messages the distance allows for")
    ] = "nothing"

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.inversion import DISTANCES, Search, inverted

        search = Search(
            iterations=self.iterations,
            restarts=self.restarts,
            step_size=self.step_size,
            smoothness=self.smoothness,
            distance=DISTANCES[self.adapts],
        )
        target = self.target(view)
        found, losses = inverted(target, search, view.rng)
        return self.handed_in(view, target, found, losses)
