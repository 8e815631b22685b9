"""Test-time attacks: they make small changes to samples so that a trained model errs.

:class:`Evasion` is the contract, and :class:`Victim` is what an attack may see of the model.

>>> import torch
>>> lower, upper = box(torch.tensor([0.05, 0.5]), 0.1, 0.0, 1.0)
>>> climbed(torch.tensor([0.05, 0.5]), lower, upper, lambda x: -x, step_size=0.2, steps=1)
tensor([0.0000, 0.4000])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import AttackError, KnowledgeError
from robustfl.threats.knowledge import Knowledge

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["cross_entropy", "margin"]

_ROWS_AT_ONCE = 2048
_SLACK = 1e-5  # allows for float32 rounding at the edge of the ball


def box(features: Tensor, epsilon: float, low: Any, high: Any) -> tuple[Tensor, Tensor]:
    """The smallest and largest value that each feature may take: within `epsilon` and within the range of the data.

    A feature that lies outside the range of the data may stay where it is or move towards the range.
    """
    return (
        (features - epsilon).maximum(features.clamp(max=low)),
        (features + epsilon).minimum(features.clamp(min=high)),
    )


def climbed(
    start: Tensor, lower: Tensor, upper: Tensor, slope: Callable[[Tensor], Tensor], *, step_size: float, steps: int
) -> Tensor:
    """Signed gradient ascent in a box: ``x <- clamp(x + step_size sign(slope(x)), lower, upper)``, `steps` times."""
    x = start
    for _ in range(steps):
        x = (x + step_size * slope(x).sign()).maximum(lower).minimum(upper)
    return x


class Victim:
    """A trained model as a test-time attack sees it.

    Attributes
    ----------
    features, labels : the samples [m, ...] and their true labels [m]
    lower, upper : the smallest and largest value [m, ...] that each feature may take
    rng : the attack's own generator
    questions : number of rows for which the model has given logits so far
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        features: Tensor,
        labels: Tensor,
        evasion: Evasion,
        *,
        low: Any,
        high: Any,
        rng: np.random.Generator,
    ) -> None:
        self._model, self._evasion = model, evasion
        self.features, self.labels, self.rng = features, labels, rng
        self.lower, self.upper = box(features, evasion.epsilon, low, high)
        self.questions = 0
        limit = evasion.questions_per_sample()
        self._limit = None if limit is None else limit * len(features)

    def logits(self, features: Tensor) -> Tensor:
        """The logits of the model without gradients, [q, ...] -> [q, classes]; each row counts as one question.

        Raises AttackError when the attack has asked more questions than it is allowed for all samples together.
        """
        import torch

        self.questions += len(features)
        if self._limit is not None and self.questions > self._limit:
            raise AttackError(
                f"{self._evasion!r} asked more than its {self._limit} questions, one per row. Found {self.questions}. "
                "Ask about fewer rows, or return more from `questions_per_sample`."
            )
        with torch.no_grad():
            return torch.cat([self._model(part) for part in torch.split(features, _ROWS_AT_ONCE)])

    def margins(self, features: Tensor, labels: Tensor) -> Tensor:
        """The margins [q]: the largest wrong logit minus the logit of the true class; positive where the model errs."""
        return margins(self.logits(features), labels)

    def gradient(self, features: Tensor, labels: Tensor, loss: Loss = "cross_entropy") -> Tensor:
        """The gradient [q, ...] of each row's loss in its features; it needs HISTORY, because it needs the model."""
        import torch

        if Knowledge.HISTORY not in self._evasion.required_knowledge():
            raise KnowledgeError(
                f"{self._evasion!r} looked at gradients of the model, which needs the knowledge 'history'. "
                "Declare it, or work with `logits`."
            )
        slopes: list[Tensor] = []
        for x, y in zip(torch.split(features, _ROWS_AT_ONCE), torch.split(labels, _ROWS_AT_ONCE), strict=True):
            leaf = x.detach().requires_grad_()
            with torch.enable_grad():
                logits = self._model(leaf)
                if not logits.requires_grad:
                    raise AttackError(f"{self._evasion!r} needs a model that torch can differentiate in its features.")
                total = margins(logits, y).sum() if loss == "margin" else _cross_entropy(logits, y)
                slopes += torch.autograd.grad(total, leaf)
        return torch.cat(slopes)

    def anywhere(self, rows: Tensor) -> Tensor:
        """A random point for each given sample: uniform within epsilon, then clamped to the range of the data."""
        x, radius = self.features[rows], self._evasion.epsilon
        shift = x.new_tensor(self.rng.uniform(-radius, radius, size=tuple(x.shape)))
        return (x + shift).maximum(self.lower[rows]).minimum(self.upper[rows])


@dataclass(frozen=True, kw_only=True)
class Evasion(Component, ABC):
    """Changes test samples: each feature by at most `epsilon`, and only within the range of the data.

    White-box attacks may take gradients. They declare the knowledge HISTORY, which is the model that every participant
    of the training receives. All other attacks only see the model's logits.
    """

    surface: ClassVar[str] = "evasion"
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING
    label_parameters: ClassVar[tuple[str, ...]] = ("epsilon",)

    epsilon: Annotated[float, Gt(0), Doc("largest change of a feature, in the units of the data")] = 0.1

    def required_knowledge(self) -> Knowledge:
        """The knowledge that the attack needs with these hyper-parameters: `knowledge`, unless overridden."""
        return self.knowledge

    def questions_per_sample(self) -> int | None:
        """The largest number of questions per sample, on average over all samples; None when there is no limit."""
        return None

    @abstractmethod
    def perturb(self, victim: Victim) -> Tensor:
        """The changed samples [m, ...]."""

    @final
    def __call__(
        self,
        model: Callable[[Tensor], Tensor],
        features: Any,
        labels: Any,
        *,
        low: Any = 0.0,
        high: Any = 1.0,
        rng: np.random.Generator | int = 0,
    ) -> Any:
        """Change samples so that `model` errs on them.

        `model` maps [q, ...] to logits [q, classes]. `features` [m, ...] and `labels` [m] are numpy arrays or torch
        tensors, and the answer has the type of `features`. `low` and `high` are the range of the data: a number each,
        or one value per feature.

        Raises AttackError when samples are not finite or have a wrong shape or type, and when the attack leaves the
        ball or the range of the data.
        """
        import torch

        array = not isinstance(features, torch.Tensor)
        x = torch.as_tensor(np.array(features)) if array else features.detach()
        y = torch.as_tensor(np.asarray(labels) if not isinstance(labels, torch.Tensor) else labels).to(x.device)
        if (
            not x.is_floating_point()
            or x.ndim < 2
            or y.shape != x.shape[:1]
            or y.is_floating_point()
            or bool((y < 0).any())
        ):
            raise AttackError(
                "Samples should be floating-point numbers [m, ...] with class numbers [m] from 0. Found "
                f"{x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}{f' from {y.min()}' if len(y) else ''}."
            )
        if not bool(x.isfinite().all()):
            raise AttackError("Samples should be finite. Remove those that are not.")
        bounds = tuple(torch.as_tensor(value, dtype=x.dtype, device=x.device) for value in (low, high))
        if not bool((bounds[0] <= bounds[1]).all()):
            raise AttackError("`low` should be at most `high`, for every feature.")
        if not len(x):
            return np.array(features) if array else x.clone()
        victim = Victim(model, x, y.long(), self, low=bounds[0], high=bounds[1], rng=np.random.default_rng(rng))
        changed = self.perturb(victim)
        self._check(changed, victim)
        return changed.numpy() if array else changed

    def _check(self, changed: Any, victim: Victim) -> None:
        import torch

        wanted = victim.features
        if not isinstance(changed, torch.Tensor) or changed.shape != wanted.shape or changed.dtype != wanted.dtype:
            raise AttackError(f"{self!r} should return a tensor {wanted.dtype} {list(wanted.shape)}.")
        slack = _SLACK * (1.0 + float(wanted.abs().max()))
        if not bool(((changed >= victim.lower - slack) & (changed <= victim.upper + slack)).all()):
            raise AttackError(
                f"{self!r} should keep every feature within epsilon={self.epsilon} of its value and within the range "
                "of the data. Clamp to `victim.lower` and `victim.upper`."
            )


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The largest logit of a wrong class minus the logit of the true class, [q, classes], [q] -> [q]."""
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(dim=1) - true[:, 0]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, labels, reduction="sum")
