"""The zeroth-order attack, which estimates gradients from differences between answers of the model."""

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
    """Zeroth-order attack: signed steps follow a slope that is estimated from the model's answers alone.

    Formula: ``g <- memory g + sum_q (F(x + s u_q) - F(x - s u_q)) u_q``, where ``u_q`` are `directions` Gaussian
    directions and F is the margin: the largest logit of a wrong class minus the logit of the true class. Then
    ``x <- clamp(x + step_size sign(g))``, as in `PGD`. A step asks the model ``2 directions + 1`` questions per sample.
    The last question finds out whether the model already errs; samples on which it does are not changed any further.
    The attack takes as many steps as `queries` allows. The slope changes little from step to step, so a long memory is
    worth more than many directions.

    Knowledge: only the logits of the model, which every user of the model gets. When this attack does better than
    `PGD` although it needs no gradients, the model hides its gradients and is not robust.

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
    unfit: ClassVar[str] = (
        "with few queries for many features, as its slope is an estimate: it is a check on `pgd`, and no bound by "
        "itself"
    )

    queries: Annotated[int, Ge(3), Doc("largest number of questions per sample")] = 1000
    directions: Annotated[int, Ge(1), Doc("number of directions per estimate; each costs two questions")] = 5
    memory: Annotated[float, Ge(0), Lt(1), Doc("weight of the previous step's slope")] = 0.98
    smoothing: Annotated[float, Gt(0), Doc("s: step of the difference quotient, in the units of the data")] = 0.005
    step_size: Annotated[float | None, Gt(0), Doc("change of each feature per step; epsilon / 4 when not given")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 2 * self.directions + 1:
            raise ParameterError(
                "ZerothOrder: `queries` should satisfy queries >= 2 directions + 1, enough for a step. Found "
                f"queries={self.queries}, directions={self.directions}."
            )

    @property
    def steps(self) -> int:
        """The number of steps that `queries` allows."""
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
