"""The trainers of networks whose gradients are written out, for many clients together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from robustfl.federation.clients import convolutional
from robustfl.federation.clients.fully_connected import summed_gradients

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.clients.local_steps import Trainer


class WrittenOutTrainer(ABC):
    """Chunks of clients in one batched computation, without autograd, under the cross-entropy.

    The results are those of :class:`~robustfl.federation.clients.training.VmappedTrainer` up to rounding. What asks for
    more than gradients for labels that are classes is answered by `usual`: probabilities as labels, and gradients that
    are to be differentiated.

    Parameters
    ----------
    learning_rate : the rate of the local steps
    usual : the trainer for everything else
    radius : how far the place of the gradient of each step is from the model
    """

    def __init__(self, learning_rate: float, usual: Trainer, radius: float = 0.0) -> None:
        self._rate, self._usual, self._radius = learning_rate, usual, radius

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        differentiated = torch.is_grad_enabled() and (weights.requires_grad or features.requires_grad)
        if differentiated or labels.is_floating_point():
            return self._usual(weights, features, labels, starts, draws)
        return self._summed(weights, features, labels)

    @abstractmethod
    def _summed(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """The sums of gradients [k, d] over the local steps."""


class FullyConnectedTrainer(WrittenOutTrainer):
    """Fully connected networks; :func:`~robustfl.federation.clients.fully_connected.widths_of` tells their widths.

    The other parameters are those of :class:`WrittenOutTrainer`.
    """

    def __init__(self, widths: tuple[int, ...], learning_rate: float, usual: Trainer, radius: float = 0.0) -> None:
        super().__init__(learning_rate, usual, radius)
        self._widths = widths

    def _summed(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        return summed_gradients(weights, features, labels, self._rate, self._widths, self._radius)


class ConvolutionalTrainer(WrittenOutTrainer):
    """Convolutional networks, as :func:`~robustfl.federation.clients.convolutional.convolutions_of` tells them.

    `usual` also answers for clients whose result is not finite: where numbers overflow or are NaN, a margin of zeros is
    not what it is to torch's convolutions, which leave it out. The other parameters are those of
    :class:`WrittenOutTrainer`.
    """

    def __init__(
        self, network: convolutional.Convolutions, learning_rate: float, usual: Trainer, radius: float = 0.0
    ) -> None:
        super().__init__(learning_rate, usual, radius)
        self._passes = convolutional.Passes(network)

    def _summed(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        found = convolutional.summed_gradients(weights, features, labels, self._rate, self._passes, self._radius)
        if not bool(found.sum().isfinite()):
            for k in (~found.isfinite().all(dim=1)).nonzero().flatten().tolist():
                one = slice(k, k + 1)
                found[one] = self._usual(weights if weights.ndim == 1 else weights[one], features[one], labels[one])
        return found
