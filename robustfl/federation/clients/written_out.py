"""The trainers of networks whose gradients are written out, for many clients together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robustfl.federation.clients import convolutional
from robustfl.federation.clients.fully_connected import summed_gradients

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.clients.local_steps import Trainer


class FullyConnectedTrainer:
    """All clients in one batched computation, without autograd: fully connected networks under the cross-entropy.

    The results are those of :class:`VmappedTrainer` up to rounding. What asks for more than gradients for labels that
    are classes is answered by `usual`: probabilities as labels, and gradients that are to be differentiated.

    Parameters
    ----------
    widths : the widths of the network, as :func:`~robustfl.federation.clients.fully_connected.widths_of` tells them
    learning_rate : the rate of the local steps
    usual : the trainer for everything else
    radius : how far the place of the gradient of each step is from the model
    """

    def __init__(self, widths: tuple[int, ...], learning_rate: float, usual: Trainer, radius: float = 0.0) -> None:
        self._widths, self._rate, self._usual, self._radius = widths, learning_rate, usual, radius

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        if _more_than_gradients(weights, features, labels):
            return self._usual(weights, features, labels, starts, draws)
        return summed_gradients(weights, features, labels, self._rate, self._widths, self._radius)


class ConvolutionalTrainer:
    """Chunks of clients in one batched computation, without autograd: convolutional networks under the cross-entropy.

    The results are those of :class:`VmappedTrainer` up to rounding. `usual` answers what it answers for
    :class:`FullyConnectedTrainer`, and clients whose result is not finite: where numbers overflow or are NaN, a margin
    of zeros is not what it is to torch's convolutions, which leave it out.

    Parameters
    ----------
    network : the layers, as :func:`~robustfl.federation.clients.convolutional.convolutions_of` tells them
    learning_rate : the rate of the local steps
    usual : the trainer for everything else
    radius : how far the place of the gradient of each step is from the model
    """

    def __init__(
        self, network: convolutional.Convolutions, learning_rate: float, usual: Trainer, radius: float = 0.0
    ) -> None:
        self._passes, self._rate, self._usual = convolutional.Passes(network), learning_rate, usual
        self._radius = radius

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        if _more_than_gradients(weights, features, labels):
            return self._usual(weights, features, labels, starts, draws)
        found = convolutional.summed_gradients(weights, features, labels, self._rate, self._passes, self._radius)
        if not bool(found.sum().isfinite()):
            for k in (~found.isfinite().all(dim=1)).nonzero().flatten().tolist():
                one = slice(k, k + 1)
                found[one] = self._usual(weights if weights.ndim == 1 else weights[one], features[one], labels[one])
        return found


def _more_than_gradients(weights: Tensor, features: Tensor, labels: Tensor) -> bool:
    """Whether gradients are to be differentiated themselves, or labels are probabilities."""
    differentiated = torch.is_grad_enabled() and (weights.requires_grad or features.requires_grad)
    return differentiated or labels.is_floating_point()
