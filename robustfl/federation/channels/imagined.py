"""What clients send and what models predict, as functions that attackers who plan ahead can differentiate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from robustfl.federation.clients.fully_connected import derived_logits
from robustfl.federation.clients.training import TracedTrainer, predict
from robustfl.federation.task import Population
from robustfl.threats.updates.planning.replay import Pulled, Replay, ReplayedPrediction, ReplayedUpdate

if TYPE_CHECKING:
    from torch import Tensor


class SentUpdate(ReplayedUpdate):
    """What clients send, as a function of a model and of samples, for attackers who plan ahead.

    Parameters
    ----------
    train : computes sums of gradients over local steps
    steps : the number of local steps
    messages : turns such sums [k, d] into messages, in place
    """

    def __init__(self, train: TracedTrainer, steps: int, messages: Callable[[Tensor], Tensor]) -> None:
        self._train, self._steps, self._messages = train, steps, messages

    def __call__(self, weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim == 1:
            return self(weights, features[None], labels[None])[0]
        k, steps = len(labels), self._steps
        batches = features[:, None].expand(k, steps, *features.shape[1:])
        return self._messages(self._train(weights, batches, labels[:, None].expand(k, steps, -1)))

    def replay(self, features: Tensor, labels: Tensor, plans: int, places: int) -> Replay | None:
        """What one local step sends, round after round."""
        if self._steps > 1:
            return None
        return self._train.replay(features, labels, plans, places, self._messages)


class Predicted(ReplayedPrediction):
    """The logits of models for samples, which all models share."""

    def __init__(self, population: Population) -> None:
        self._population = population

    def __call__(self, weights: Tensor, features: Tensor) -> Tensor:
        several = weights.ndim == 2
        samples = features.expand(len(weights), *features.shape) if several else features
        return predict(self._population, weights, samples)

    def sloped(self, weights: Tensor, features: Tensor) -> tuple[Tensor, Pulled] | None:
        """Those of a fully connected network."""
        if self._population.widths is None:
            return None
        return derived_logits(list(self._population.views(weights).values()), features)
