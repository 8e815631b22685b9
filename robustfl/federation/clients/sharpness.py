"""Sharpness-aware steps: where a client computes the gradient that it follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-12
"""It is added to the length of a gradient, by which is divided."""
_LEAST = 1e-30
"""The square of a length that counts as 0: far below TINY, and the root of no less is differentiated."""


def raised(models: Tensor, slopes: Tensor, radius: float) -> Tensor:
    """The places [k, d] at which clients compute the gradients of sharpness-aware steps.

    Formula: ``w + radius g / (||g|| + 1e-12)``, where g is the gradient at w. A step of sharpness-aware minimisation
    goes from w against the gradient at this place, on the same batch: to first order it is the worst place within
    `radius` of w, so that valleys which are narrower than that are left.

    Shapes: models [d] or [k, d], slopes [k, d] or [d] -> [k, d] or [d]. Autograd can differentiate it in both.

    Cost: d additions and multiplications a client. The step as a whole takes a second gradient.

    References
    ----------
    P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur. Sharpness-Aware Minimization for Efficiently Improving
    Generalization. ICLR 2021. · Z. Qu, X. Li, R. Duan, Y. Liu, B. Tang, Z. Lu. Generalized Federated Learning via
    Sharpness Aware Minimization. ICML 2022 (FedSAM). · Y. Shi, L. Shen, K. Wei, Y. Sun, B. Yuan, X. Wang, D. Tao.
    Improving the Model Consistency of Decentralized Federated Learning. ICML 2023 (DFedSAM).
    """
    return models + slopes * stretches(slopes, radius)


def stretches(slopes: Tensor, radius: float) -> Tensor:
    """By which factor [k, 1] each gradient [k, d] is stretched or shrunk to the length `radius`.

    The squares of each row are summed alone, so that no factor depends on the other rows.
    """
    lengths = slopes.square().sum(dim=-1, keepdim=True).clamp(min=_LEAST).sqrt()
    return radius / (lengths + TINY)
