"""What an attacker who plans ahead wants of the models that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.updates.planning.rollout import Aim


def named(labels: Tensor, weights: Tensor) -> Aim:
    """The probability of a class for each sample, `labels` [m], in a sum with `weights` [m]."""

    def aim(logits: Tensor) -> Tensor:
        probable = logits.softmax(dim=-1).gather(-1, labels.expand(len(logits), -1)[..., None])[..., 0]
        found: Tensor = (probable * weights.to(probable)).sum(dim=-1)
        return found

    return aim


def balanced(labels: Tensor) -> Tensor:
    """Weights [m] for samples of the classes `labels` [m], so that each class weighs the same; their sum is 1."""
    import torch

    _, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = (1.0 / counts)[place] / len(counts)
    return weights


def wrong(labels: Tensor) -> Aim:
    """Minus the probability of the right class: the mean over the samples of each class, and then over the classes.

    This stands for balanced accuracy, which cannot be differentiated. `labels` [m] are those of the judged samples.
    """
    return named(labels, -balanced(labels))
