"""Labels of samples that are known, and the proof that samples are those behind a message, without the truth.

Whoever has recovered samples can compute the gradient again. If it equals the message, the samples are right: a layer
has far more weights than a small batch has pixels to choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robustfl.threats.privacy.exact_batches import solve_batch
from robustfl.threats.privacy.findings import Reconstruction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from robustfl.threats.privacy.network import Network
    from robustfl.threats.privacy.view import PrivacyView

PROVEN = 1e-4
"""A gradient that is computed again proves its samples when it differs from the message by less than this share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveredBatch:
    """The samples behind one gradient.

    Attributes
    ----------
    features : [B, *shape] in double precision, those first that explain the gradient best; empty where none were found
    labels : [B]
    distance : the distance of the gradient that these samples have from the given one, as a share of its norm; infinite
        without samples
    certified : whether the samples are proven to be right
    """

    features: Tensor
    labels: Tensor
    distance: float
    certified: bool


def recover_batch(
    network: Network,
    model: Tensor,
    gradient: Tensor,
    *,
    rng: np.random.Generator,
    subsets: int,
    restarts: int,
    first_layer_only: bool = False,
) -> RecoveredBatch:
    """The samples and labels behind a gradient, from its first layer alone, and whether they are proven.

    Samples are certified when no neuron has learnt anything from a sample that leaves it inactive, and the gradient
    that they have equals the given one to :data:`PROVEN`. A message that is not finite tells nothing.

    Parameters
    ----------
    network : its first layer has to be linear, and only the positive part of its outputs may count (:func:`rectified`)
    model, gradient : [d] the weights, and any positive multiple of the mean gradient of the batch
    rng, subsets, restarts : see :func:`~robustfl.threats.privacy.exact_batches.solve_batch`
    first_layer_only : whether the proof may use the first layer alone, because the rest of the gradient holds other
        samples too
    """
    first = network.first
    assert first is not None, "the caller asks first whether the network is rectified"
    model, gradient = model.double(), gradient.double()
    nothing = RecoveredBatch(
        features=model.new_empty((0, *network.shape)),
        labels=torch.empty(0, dtype=torch.int64, device=model.device),
        distance=float("inf"),
        certified=False,
    )
    if not bool(gradient.isfinite().all() & model.isfinite().all()):
        return nothing
    parts = [part.cpu().numpy() for flat in (gradient, model) for part in first.of(flat)]
    found = solve_batch(*parts, rng=rng, subsets=subsets, restarts=restarts)
    if not len(found.samples):
        return nothing
    features = torch.as_tensor(found.samples, device=model.device).reshape(-1, *network.shape)
    labels, shares = labels_of(network, model, features, torch.as_tensor(found.columns, device=model.device))
    places = [first.weight, first.bias] if first_layer_only else [slice(None)]
    again = weighted_gradient(network, model, features, labels, shares)
    target, own = (torch.cat([flat[place] for place in places]) for flat in (gradient, again))
    distance = float((own - target).norm() / target.norm())
    return RecoveredBatch(
        features=features,
        labels=labels,
        distance=distance,
        certified=found.contradictions == 0 and distance < PROVEN,
    )


def reconstruction(found: Sequence[RecoveredBatch], view: PrivacyView) -> Reconstruction:
    """The answer of an attack that has recovered these batches, one for each sighting of its view."""
    return Reconstruction(
        features=[view.clamped(batch.features.float()) for batch in found],
        labels=[batch.labels for batch in found],
        certified=torch.tensor([len(batch.labels) if batch.certified else 0 for batch in found]),
        losses=torch.tensor([batch.distance for batch in found]),
    )


def labels_of(network: Network, model: Tensor, features: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """The labels [B] of known samples, and what each contributes to the gradient, [B].

    For each class one can compute what the neurons of the first layer would learn from a sample of that class. The
    label is the class for which that is parallel to what they did learn, and the factor between them is the sample's
    share: 1/n for one of n samples, 2/n for two that are equal.

    Shapes: model [d], features [B, *shape], columns [m, B], the gradients at the neurons of the first layer.

    Cost: B C backward passes of one sample. The answer is exact where a sample activates a neuron.
    """
    first, classes = network.first, torch.arange(network.classes, device=model.device)
    assert first is not None, "columns belong to a linear first layer"
    labels, shares = [], []
    for sample, learnt in zip(features, columns.T, strict=True):
        batches = sample.expand(network.classes, 1, *network.shape)
        each = network.gradients(model.expand(network.classes, -1), batches, classes[:, None])[:, first.bias]
        sizes = each.norm(dim=1).clamp(min=torch.finfo(each.dtype).tiny)
        label = (each @ learnt / sizes).argmax()
        labels.append(label)
        shares.append((each[label] @ learnt) / sizes[label].square())
    return torch.stack(labels), torch.stack(shares)


def weighted_gradient(network: Network, model: Tensor, features: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """The sum [d] of the gradients of samples [B, *shape], each times its share [B]."""
    total = torch.zeros_like(model)
    for sample, label, share in zip(features, labels, shares, strict=True):
        total += share * network.gradients(model[None], sample[None, None], label[None, None])[0]
    return total


def rectified(network: Network) -> bool:
    """Whether the network has a linear first layer of whose outputs only the positive part counts, as before ReLU.

    It is tried: with outputs just below zero the layer learns nothing, and with outputs just above zero it does.
    """
    first = network.first
    if first is None:
        return False
    generator = torch.Generator().manual_seed(0)
    model = torch.randn(network.d, dtype=torch.float64, generator=generator)
    model[first.weight] = 0.0
    learnt = []
    for bias in (-1e-3, 1e-3):
        model[first.bias] = bias
        sample = torch.zeros((1, 1, *network.shape), dtype=model.dtype)
        found = network.gradients(model[None], sample, torch.zeros((1, 1), dtype=torch.int64))[0, first.bias]
        learnt.append(bool(found.any()))
    return learnt == [False, True]
