"""Climbing without gradients: differences between answers of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Evasion, Victim

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ZerothOrder(Evasion):
    """Zeroth-order attack: signed steps along a slope that is estimated from the model's answers alone.

    Formula: ``g <- memory g + sum_q (F(x + s u_q) - F(x - s u_q)) u_q`` with Gaussian directions ``u_q``, `directions`
    of them, and F the margin: the largest wrong logit less the true one; then ``x <- clamp(x + step_size sign(g))``, as
    in `PGD`. A step asks ``2 directions + 1`` questions a sample, the last of which is whether the model errs already:
    such samples are left alone. There are as many steps as `queries` allow. The slope changes little from step to step,
    so that a long memory is worth more than many directions.

    Knowledge: none but the logits of the model, as anybody gets them who may use it. An attack that needs no gradients
    and does better than `PGD` shows that the model hides its gradients, not that it is robust.

    References
    ----------
    A. Ilyas, L. Engstrom, A. Athalye, J. Lin. Black-box Adversarial Attacks with Limited Queries and Information.
    ICML 2018.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import ZerothOrder
    >>> model = lambda x: x.round(decimals=3)  # no gradients to speak of
    >>> changed = ZerothOrder(epsilon=0.2)(model, torch.tensor([[0.5, 0.4]]), torch.tensor([0]))
    >>> model(changed).argmax(dim=1).tolist()
    [1]
    """

    reference: ClassVar[str] = (
        "Ilyas et al., Black-box Adversarial Attacks with Limited Queries and Information, ICML 2018"
    )

    queries: Annotated[int, Ge(3), Doc("the most questions for a sample")] = 1000
    directions: Annotated[int, Ge(1), Doc("directions for each estimate, with two questions each")] = 5
    memory: Annotated[float, Ge(0), Lt(1), Doc("weight of the slope of the step before")] = 0.98
    smoothing: Annotated[float, Gt(0), Doc("length s of a difference, in the units of the data")] = 0.005
    step_size: Annotated[float | None, Gt(0), Doc("length of a step; epsilon / 4 when not given")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 2 * self.directions + 1:
            raise ParameterError(
                "ZerothOrder: `queries` should satisfy queries >= 2 directions + 1, enough for a step. Found "
                f"queries={self.queries}, directions={self.directions}."
            )

    @property
    def steps(self) -> int:
        """How many steps the questions allow."""
        return self.queries // (2 * self.directions + 1)

    def questions_per_sample(self) -> int:
        return self.queries

    def perturb(self, victim: Victim) -> Tensor:
        import torch

        step_size = self.epsilon / 4 if self.step_size is None else self.step_size
        changed, slopes = victim.features.clone(), torch.zeros_like(victim.features)
        left = torch.arange(len(changed), device=changed.device)
        for _ in range(self.steps):
            labels = victim.labels[left]
            slopes[left] = self.memory * slopes[left] + self._slope(victim, changed[left], labels)
            moved = changed[left] + step_size * slopes[left].sign()
            changed[left] = moved = moved.maximum(victim.lower[left]).minimum(victim.upper[left])
            left = left[victim.margins(moved, labels) <= 0]
            if not len(left):
                break
        return changed

    def _slope(self, victim: Victim, features: Tensor, labels: Tensor) -> Tensor:
        """The estimated slope of the margin at each sample [q, ...], up to a positive factor."""
        slope = features.new_zeros(features.shape)
        for _ in range(self.directions):
            draws = victim.rng.standard_normal(tuple(features.shape), dtype=np.float32)
            shift = self.smoothing * features.new_tensor(draws)
            rise = victim.margins(features + shift, labels) - victim.margins(features - shift, labels)
            slope += rise.reshape(-1, *[1] * (features.ndim - 1)) * shift
        return slope
