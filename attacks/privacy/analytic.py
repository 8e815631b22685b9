"""Reads one sample off the gradient of a linear first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats.privacy.capability import TO_GRADIENTS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class Analytic(PrivacyAttack):
    """Analytic inversion: the sample of a batch of one is a quotient of gradients of the first layer.

    Formula: for a first layer z = W x + b every neuron k has ``dL/dW_k = (dL/db_k) x``. The least-squares answer of all
    neurons is ``x = sum_k b_k W_k / sum_k b_k^2`` with the gradients W_k and b_k of neuron k; under noise it is much
    closer than the quotient of any single row. The scale of the message does not matter.

    Shapes: [k, d] -> one sample for each of k sightings.

    Cost: O(k d). Guarantee: exact for one sample of which a neuron of the first layer is active; for a larger batch the
    answer is a mean of the samples, weighted by how much each neuron learnt from them, and no reconstruction.

    Knowledge: messages, and where the first layer is in them. With momentum the earlier messages of the client, too.

    References
    ----------
    L. T. Phong, Y. Aono, T. Hayashi, L. Wang, S. Moriai. Privacy-Preserving Deep Learning via Additively Homomorphic
    Encryption. IEEE Transactions on Information Forensics and Security 13, 2018.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import Analytic
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), (1, 2, 2), classes=2)
    >>> secret = torch.tensor([[[[[0.1, 0.9], [0.5, 0.3]]]]])  # one client, one sample
    >>> model = torch.zeros(network.d)
    >>> message = network.gradients(model[None], secret, torch.tensor([[1]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(1, 2, 2), classes=2)
    >>> found = Analytic().spy(PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network))
    >>> found.features[0].squeeze()
    tensor([[0.1000, 0.9000],
            [0.5000, 0.3000]])
    """

    reference: ClassVar[str] = (
        "Phong et al., Privacy-Preserving Deep Learning via Additively Homomorphic Encryption, IEEE TIFS 2018"
    )
    unfit: ClassVar[str] = "for batches of more than one sample, of which it returns a weighted mean"
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = Capability.MESSAGE | Capability.LOSS | TO_GRADIENTS

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        return None if network.first is not None else "the first layer of the model is not linear with a bias"

    def infer(self, view: PrivacyView) -> Reconstruction:
        first = view.network.first
        assert first is not None, "not applicable without"
        weight, bias = first.of(view.gradients().double())  # [k, m, n], [k, m]
        scale = bias.square().sum(dim=1, keepdim=True)
        found = (bias[:, None, :] @ weight).squeeze(1) / scale  # [k, n]; NaN where no neuron learnt
        samples = view.clamped(found.float().reshape(len(view), 1, *view.shape))
        alive = scale.squeeze(1) > 0
        return Reconstruction(features=[x if ok else x[:0] for x, ok in zip(samples, alive.tolist(), strict=True)])
