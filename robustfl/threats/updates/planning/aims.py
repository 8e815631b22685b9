"""What an attacker who plans ahead wants of the models that count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


SHARPNESS = 3.0
"""How fast a margin counts as a hit or a miss: at 3 a margin of 1 is 95 % of a hit."""


Aim = Callable[["Tensor"], "Tensor"]
"""The logits [k, m, classes] of k models -> how much the attacker likes each of them, [k]."""


@dataclass(frozen=True)
class Named:
    """How often models name a class for each sample, `labels` [m], in a sum with `weights` [m].

    Formula: ``sigmoid(3 (z_y - max_j z_j))`` over the other classes j, with logits z. This is nearly whether the class
    is named, which cannot be differentiated. The probability of the class would not do: a model of which only the
    probabilities are small still names the right class.
    """

    labels: Tensor
    weights: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        return self._weighed(self._hits(logits)[0])

    def sloped(self, logits: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The values [k], and the gradients [k, m, classes] of the values times `share`, with the bits of autograd."""
        import torch

        hits, others, highest, place = self._hits(logits)
        along = self.weights.to(hits) * share
        slope: Tensor = SHARPNESS * torch.ops.aten.sigmoid_backward(along.expand_as(hits), hits)
        reached = highest[..., None] == others  # several classes share what the highest of them gets
        found = -slope[..., None] * reached / reached.sum(dim=-1, keepdim=True)
        return self._weighed(hits), found.scatter_(-1, place, slope[..., None])

    def _hits(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The hits, the logits without those of the classes, the highest of these, and the places of the classes."""
        import torch

        place = self.labels.expand(len(logits), -1)[..., None]
        others = logits.scatter(-1, place, -math.inf)
        highest = others.amax(dim=-1)
        return torch.sigmoid(SHARPNESS * (logits.gather(-1, place)[..., 0] - highest)), others, highest, place

    def _weighed(self, hits: Tensor) -> Tensor:
        found: Tensor = (hits * self.weights.to(hits)).sum(dim=-1)
        return found


def balanced(labels: Tensor) -> Tensor:
    """Weights [m] for samples of the classes `labels` [m], so that each class weighs the same; their sum is 1."""
    import torch

    _, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = (1.0 / counts)[place] / len(counts)
    return weights


def wrong(labels: Tensor) -> Named:
    """Minus how often the right class is named: the mean over the samples of each class, and then over the classes.

    This stands for balanced accuracy. `labels` [m] are those of the judged samples.
    """
    return Named(labels, -balanced(labels))
