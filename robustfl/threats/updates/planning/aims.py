"""What an attacker who plans ahead wants of the models that count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.updates.planning.rollout import Aim


SHARPNESS = 3.0
"""How fast a margin counts as a hit or a miss: at 3 a margin of 1 is 95 % of a hit."""


def named(labels: Tensor, weights: Tensor) -> Aim:
    """How often models name a class for each sample, `labels` [m], in a sum with `weights` [m].

    Formula: ``sigmoid(3 (z_y - max_j z_j))`` over the other classes j, with logits z. This is nearly whether the class
    is named, which cannot be differentiated. The probability of the class would not do: a model of which only the
    probabilities are small still names the right class.
    """
    import torch

    def aim(logits: Tensor) -> Tensor:
        place = labels.expand(len(logits), -1)[..., None]
        own = logits.gather(-1, place)[..., 0]
        others = logits.scatter(-1, place, -math.inf).amax(dim=-1)
        hits = torch.sigmoid(SHARPNESS * (own - others))
        found: Tensor = (hits * weights.to(hits)).sum(dim=-1)
        return found

    return aim


def balanced(labels: Tensor) -> Tensor:
    """Weights [m] for samples of the classes `labels` [m], so that each class weighs the same; their sum is 1."""
    import torch

    _, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = (1.0 / counts)[place] / len(counts)
    return weights


def wrong(labels: Tensor) -> Aim:
    """Minus how often the right class is named: the mean over the samples of each class, and then over the classes.

    This stands for balanced accuracy. `labels` [m] are those of the judged samples.
    """
    return named(labels, -balanced(labels))
