"""What an attacker who plans ahead wants of the models that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.updates.planning.rollout import Aim


def wrong(labels: Tensor) -> Aim:
    """Minus the probability of the right class: the mean over the samples of each class, and then over the classes.

    This stands for balanced accuracy, which cannot be differentiated. `labels` [m] are those of the judged samples.
    """
    import torch

    _, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    weights = (1.0 / counts)[place] / len(counts)

    def aim(logits: Tensor) -> Tensor:
        right = logits.softmax(dim=-1).gather(-1, labels.expand(len(logits), -1)[..., None])[..., 0]
        return -(right * weights.to(right)).sum(dim=-1)

    return aim


def towards(target: int) -> Aim:
    """The mean probability of one class; the judged samples should be of other classes, or carry a trigger."""

    def aim(logits: Tensor) -> Tensor:
        found: Tensor = logits.softmax(dim=-1)[..., target].mean(dim=-1)
        return found

    return aim
