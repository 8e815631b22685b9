"""Searches for the samples of several local steps at one model between the one sent and the one that came back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.optimising import Optimising

if TYPE_CHECKING:
    from robustfl.threats.privacy.view import PrivacyView


@dataclass(frozen=True, kw_only=True)
class SurrogateModel(Optimising):
    """Surrogate model extension: the samples whose gradient, at a model in between, has the direction of the update.

    Formula: a client that began at w_0 and made T local steps arrived at ``w_T = w_0 - T rate g``, where g is the mean
    of the gradients of its steps. Minimise ``1 - cos(grad L(w_s; x, y), g) + smoothness TV(x)`` with
    ``w_s = alpha w_0 + (1 - alpha) w_T`` over the samples x of all steps and over alpha in [0, 1]. Samples follow the
    sign of the slope with Adam, and alpha follows its own slope ``<dL/dw_s, w_0 - w_T>`` with Adam, from one half. Of
    `restarts` searches the one with the smallest distance, without TV, is handed in.

    It is made for clients that go over the same few samples again and again: `samples` says how many. Each of them has
    then taught at all models on the way, and one in the middle stands for these. Where every step has samples of its
    own, it is the wrong picture: at w_s all of them are half learnt, while each taught when it was new. Then w_0, which
    is `one_batch` of :class:`~robustfl.attacks.InvertingGradients` and alpha = 1 here, is as good or better, and
    `unrolled`, which computes every step again at T times the cost, is the right one.

    With one local step w_0 is where the gradient was computed. Alpha is then 1, and the search is that of
    `InvertingGradients`, to the last bit.

    Shapes: [k, d] -> n samples for each of k sightings, those of all local steps. Cost: `iterations` forward and two
    backward passes for k times `restarts` batches at once, whatever the number of steps.

    Guarantee: none. Some model on the line may explain the update well, and none has to: in general no gradient of the
    loss of all samples is parallel to the sum of the steps.

    Knowledge: messages or their sum, the model, the loss, and how clients train (batch size, steps, learning rate,
    momentum). Labels are found as for `InvertingGradients`, with the gradient taken for one at w_0; given ones are the
    truth, and results are then marked.

    References
    ----------
    J. Zhu, R. Yao, M. B. Blaschko. Surrogate Model Extension (SME): A Fast and Accurate Weight Update Attack on
    Federated Learning. ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import SurrogateModel
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> network = Network(layers, (1, 2, 2), classes=3)
    >>> model, x = torch.linspace(-1, 1, network.d), torch.tensor([[[[[0.1, 0.9], [0.5, 0.3]]]]])
    >>> local_steps = x[:, None].expand(1, 2, 1, 1, 2, 2)  # the same sample in both of two local steps
    >>> message = network.update(model[None], local_steps, torch.tensor([[[1], [1]]]), 0.5)[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3, steps=2, learning_rate=0.5)
    >>> facts = PrivacyFacts(
    ...     observer="server", sightings=[seen], circumstances=about, network=network, labels=torch.tensor([[1, 1]])
    ... )
    >>> found = SurrogateModel(samples=1, iterations=200, restarts=2, labels="given").spy(facts)
    >>> bool((found.features[0] - x[0, 0]).abs().max() < 0.02)
    True
    """

    unfit: ClassVar[str] = (
        "where every local step has samples of its own: `inverting_gradients` does as well at less cost if it takes "
        "all steps for one batch, and better if it computes each of them again"
    )
    reference: ClassVar[str] = (
        "Zhu et al., Surrogate Model Extension: A Fast and Accurate Weight Update Attack, ICML 2023"
    )

    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 600
    restarts: Annotated[int, Ge(1), Doc("number of searches for each sighting")] = 4
    step_size: Annotated[float, Gt(0), Doc("step size of Adam, as a share of the range of the data")] = 0.1
    smoothness: Annotated[
        float, Ge(0), Doc("weight of the total variation; 0.001 without noise in messages, 0.01 with noise")
    ] = 1e-3
    share_step: Annotated[float, Ge(0), Doc("step size of Adam for alpha, which is a number from 0 to 1")] = 1e-3

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.inversion import Search, inverted, inverted_along

        search = Search(
            iterations=self.iterations,
            restarts=self.restarts,
            step_size=self.step_size,
            smoothness=self.smoothness,
            share_step=self.share_step,
        )
        target = self.target(view)
        if view.steps == 1:
            return self.handed_in(view, target, *inverted(target, search, view.rng))
        received = target.models - view.steps * view.learning_rate * target.gradients
        target = dataclasses.replace(target, received=received)
        found, losses, _ = inverted_along(target, search, view.rng)
        return self.handed_in(view, target, found, losses)
