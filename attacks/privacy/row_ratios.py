"""Divides the rows of the first layer's gradient by those of its bias, one candidate for each neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from typing_extensions import Doc

from robustfl.threats.privacy.capability import TO_GRADIENTS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Network

_SMALLEST = 1e-7
"""Rows whose bias gradient is below this share of the largest hold rounding alone."""

_SLACK = 0.05
"""How far a candidate may leave the range of the data, as a share of that range."""


@dataclass(frozen=True, kw_only=True)
class RowRatios(PrivacyAttack):
    """Row ratios: every neuron of a linear first layer gives a candidate, the quotient of its gradients.

    Formula: candidate ``W_k / b_k`` with the gradients W_k and b_k of neuron k, kept if it lies within the range of the
    data. It is the sample of a neuron that one sample of the batch activates, and a mean of samples weighted by what
    they contributed otherwise. Candidates that agree with others come first, then those of large gradients.

    Shapes: [k, d] -> at most as many candidates as there are samples, or as there are neurons with `oracle`.

    Cost: O(k m n) and the distances of candidates. Guarantee: none; it is the baseline of attacks on batches.

    References
    ----------
    L. T. Phong, Y. Aono, T. Hayashi, L. Wang, S. Moriai. Privacy-Preserving Deep Learning via Additively Homomorphic
    Encryption. IEEE Transactions on Information Forensics and Security 13, 2018.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import RowRatios
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> network = Network(torch.nn.Linear(2, 3), (2,), classes=3)
    >>> model, x = torch.zeros(network.d), torch.tensor([[[0.1, 0.9]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[2]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(2,), classes=3)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> RowRatios().spy(facts).features[0]
    tensor([[0.1000, 0.9000]])
    """

    reference: ClassVar[str] = (
        "Phong et al., Privacy-Preserving Deep Learning via Additively Homomorphic Encryption, IEEE TIFS 2018"
    )
    unfit: ClassVar[str] = "as more than a baseline: a neuron that several samples activate gives a mean of these"
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = Capability.MESSAGE | Capability.LOSS | Capability.BATCH_SIZE | TO_GRADIENTS

    oracle: Annotated[bool, Doc("whether the candidates of all rows may be handed in, so that the best count")] = False

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        return None if network.first is not None else "the first layer of the model is not linear with a bias"

    def infer(self, view: PrivacyView) -> Reconstruction:
        import torch

        first = view.network.first
        assert first is not None, "not applicable without"
        weights, biases = first.of(view.gradients().double())
        low, high = (torch.as_tensor(bound).double().expand(view.shape).flatten() for bound in (view.low, view.high))
        found: list[Tensor] = []
        for weight, bias in zip(weights, biases, strict=True):
            alive = bias.abs() > _SMALLEST * bias.abs().max()
            ratios, slopes = weight[alive] / bias[alive, None], bias[alive].abs()
            slack = _SLACK * (high - low)
            inside = ((ratios >= low - slack) & (ratios <= high + slack)).all(dim=1)
            ratios, slopes = ratios[inside], slopes[inside]
            if not self.oracle:
                ratios = _agreed(ratios, slopes)[: view.batch_size * view.steps]
            found.append(view.clamped(ratios.float().reshape(-1, *view.shape)))
        return Reconstruction(features=found, oracle_rows=self.oracle)


def _agreed(ratios: Tensor, slopes: Tensor) -> Tensor:
    """Distinct candidates, those that most rows agree on first, and among equals those of the largest gradient."""
    import torch

    apart = torch.cdist(ratios, ratios).square() / max(1, ratios.shape[1])
    same = apart < 1e-6
    votes = same.sum(dim=1).double() + slopes / slopes.sum().clamp(min=1e-300)
    left, chosen = torch.ones(len(ratios), dtype=torch.bool, device=ratios.device), []
    for place in votes.argsort(descending=True, stable=True).tolist():
        if left[place]:
            chosen.append(place)
            left &= ~same[place]
    return ratios[chosen]
