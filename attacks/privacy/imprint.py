"""Imprints samples into neighbouring neurons, by the weights that an active server sends."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from typing_extensions import Doc

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Network

_SILENT = 1e-6  # a difference of biases below this share of the largest one is rounding
_MARGIN = 0.05  # how far outside the range of the data, as a share of it, rounding may leave a sample


@dataclass(frozen=True, kw_only=True)
class Imprint(PrivacyAttack):
    """Imprint: all neurons of the first layer measure one random direction, each with a threshold of its own.

    Formula: with k neurons in the first layer, every row of its weights is one direction ``w ~ N(0, I)/sqrt(D)``, and
    the biases are ``-q_i``, where q_i is the (i/k)-quantile of ``w.x`` over public samples and q_0 lies below all of
    them. Every neuron has the same column in the next layer, so a sample teaches the same to all neurons that it
    activates. The difference of the gradients of neighbouring neurons therefore holds only the samples between two
    thresholds; if that is one, the sample is ``(dW_i - dW_{i+1})/(db_i - db_{i+1})``. Labels and optimisation are not
    needed.

    With N samples behind a message, one is alone between its thresholds with the probability ``(1 - 1/k)^(N - 1)``.
    Secure aggregation only makes N larger: all clients get the same model, so that they cannot tell by comparing it.

    Shapes: [k', d] -> up to k samples for each of k' sightings. Cost: O(k' d).

    Guarantee: the expected share of samples above is recovered exactly, but for rounding, when messages are gradients
    of one local step and public samples follow the distribution of the data.

    Knowledge: the choice of the model, messages or their sum, and public samples.

    References
    ----------
    L. Fowl, J. Geiping, W. Czaja, M. Goldblum, T. Goldstein. Robbing the Fed: Directly Obtaining Private Data in
    Federated Learning with Modified Models. ICLR 2022. There the architecture is changed; here weights are enough.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import Imprint
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = [torch.nn.Flatten(), torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3)]
    >>> network = Network(torch.nn.Sequential(*layers), (1, 2, 2), classes=3)
    >>> samples = torch.rand(200, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    >>> secret, labels = samples[None, :4], torch.tensor([[0, 2, 1, 0]])
    >>> asked = Sighting(round=0, client=0, senders=(0,), model=torch.zeros(network.d))
    >>> about = Circumstances(shape=(1, 2, 2), classes=3, batch_size=4)
    >>> facts = PrivacyFacts(
    ...     observer="active", sightings=[asked], circumstances=about, network=network,
    ...     auxiliary=(samples[4:], torch.zeros(196)),
    ... )
    >>> model = Imprint().model(Imprint().view(facts), client=0)
    >>> from dataclasses import replace
    >>> message = network.gradients(model[None], secret, labels)[0]
    >>> found = Imprint().spy(replace(facts, sightings=[replace(asked, model=model, message=message)]))
    >>> apart = torch.cdist(secret[0].flatten(1), found.features[0].flatten(1)).amin(dim=1)
    >>> int((apart < 1e-3).sum())
    4
    """

    reference: ClassVar[str] = (
        "Fowl et al., Robbing the Fed: Directly Obtaining Private Data in Federated Learning with Modified Models, "
        "ICLR 2022"
    )
    unfit: ClassVar[str] = (
        "where the server follows the protocol, or somebody examines the models that it sends: it needs a prepared one"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("summed",)
    observers: ClassVar[tuple[str, ...]] = ("active",)
    knowledge: ClassVar[Capability] = (
        Capability.MESSAGE
        | Capability.ACTIVE
        | Capability.MODEL
        | Capability.AUX
        | Capability.LOSS
        | Capability.LEARNING_RATE
        | Capability.STEPS
        | Capability.MOMENTUM
        | Capability.HISTORY
    )

    summed: Annotated[
        bool, Doc("whether it sees the sum of all messages alone, as behind secure aggregation, and not each message")
    ] = False

    def required_knowledge(self) -> Capability:
        return self.knowledge & ~Capability.MESSAGE | Capability.SUM if self.summed else self.knowledge

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        from robustfl.threats.privacy.proving import rectified

        if not rectified(network):
            return "the model does not begin with a fully connected layer and ReLU"
        if _second(network) is None:
            return "the first layer of the model is not followed by another fully connected one"
        return None

    def model(self, view: PrivacyView, client: int) -> Tensor:
        network, honest = view.network, view.models[0]
        first, second = network.first, _second(network)
        assert first is not None, "not applicable without"
        assert second is not None, "not applicable without"
        samples = view.auxiliary[0].flatten(1).double()
        # The honest model decides what is random, so that all clients of a round get one and the same model.
        rng = np.random.default_rng(zlib.crc32(honest.cpu().numpy().tobytes()))
        direction = samples.new_tensor(rng.standard_normal(first.inputs)) / first.inputs**0.5
        values = samples @ direction
        levels = values.quantile(samples.new_tensor(np.arange(first.outputs) / first.outputs))
        levels[0] = values.min() - (values.max() - values.min()).clamp(min=1.0)
        outputs = (values[:, None] - levels).clamp(min=0).sum(dim=1).mean()  # keeps the next layer's inputs near 1
        column = samples.new_tensor(rng.standard_normal(network.shapes[second][0])) / outputs
        chosen = honest.clone()
        weight, bias = first.of(chosen)
        weight.copy_(direction.expand_as(weight))
        bias.copy_(-levels)
        network.named(chosen)[second].copy_(column[:, None].expand(-1, first.outputs))
        return chosen

    def infer(self, view: PrivacyView) -> Reconstruction:
        first = view.network.first
        assert first is not None, "not applicable without"
        # Neuron i hears the samples above threshold i; what neuron i + 1 does not hear lies between the two.
        weight, bias = (_differences(part) for part in first.of(view.gradients().double()))
        return Reconstruction(features=[self._samples(view, *parts) for parts in zip(weight, bias, strict=True)])

    def _samples(self, view: PrivacyView, weight: Tensor, bias: Tensor) -> Tensor:
        """The samples [m, *shape] in differences [k, n] and [k]: first those in the range of the data, then by size."""
        size, largest = bias.abs(), bias.abs().max()
        heard = size > _SILENT * largest  # none if the message is not finite
        found = (weight[heard] / bias[heard, None]).float().reshape(-1, *view.shape)
        inside = view.clamped(found)
        outside = ((found - inside).abs() > _MARGIN * (view.high - view.low)).flatten(1).any(dim=1)
        return inside[(outside.double() - size[heard] / largest).argsort(stable=True)]


def _differences(values: Tensor) -> Tensor:
    """Each of the k neurons minus the next one, the last as it is: [s, k, ...] -> [s, k, ...]."""
    found = values.clone()
    found[:, :-1] -= values[:, 1:]
    return found


def _second(network: Network) -> str | None:
    """The name of the weights that the outputs of the first layer are multiplied with; None if there are none."""
    first = network.first
    assert first is not None, "the caller asks first whether the network is rectified"
    later = [name for name, place in network.places.items() if place.start >= first.bias.stop]
    if not later or len(network.shapes[later[0]]) != 2 or network.shapes[later[0]][1] != first.outputs:
        return None
    return later[0]
