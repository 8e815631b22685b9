"""Test-time attacks: small changes to samples that make a trained model err, and what they may ask of it.

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
_SLACK = 1e-5  # rounding of float32 near the edge of the ball


def box(features: Tensor, epsilon: float, low: Any, high: Any) -> tuple[Tensor, Tensor]:
    """The values that each feature may take: within `epsilon` of its own, and within the range of the data.

    A feature that lies outside of the range may stay where it is, and move towards the range.
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
    features, labels : [m, ...] samples and [m] their true labels
    lower, upper : [m, ...] the values that each feature may take
    rng : the attack's own generator
    questions : rows of which the model has told the logits so far
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
        """[q, ...] -> [q, classes], without gradients; each row is a question.

        Raises AttackError when all samples together were allowed fewer questions.
        """
        import torch

        self.questions += len(features)
        if self._limit is not None and self.questions > self._limit:
            raise AttackError(f"{self._evasion!r} asked more than its {self._limit} questions. Count them.")
        with torch.no_grad():
            return torch.cat([self._model(part) for part in torch.split(features, _ROWS_AT_ONCE)])

    def margins(self, features: Tensor, labels: Tensor) -> Tensor:
        """[q]: the largest logit of a wrong class less that of the true one; positive where the model errs."""
        return margins(self.logits(features), labels)

    def gradient(self, features: Tensor, labels: Tensor, loss: Loss = "cross_entropy") -> Tensor:
        """[q, ...]: the slope of each row's loss in its features (needs HISTORY, the model itself)."""
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
        """A random place for each of the given samples, uniform within epsilon and then brought into the range."""
        x, radius = self.features[rows], self._evasion.epsilon
        shift = x.new_tensor(self.rng.uniform(-radius, radius, size=tuple(x.shape)))
        return (x + shift).maximum(self.lower[rows]).minimum(self.upper[rows])


@dataclass(frozen=True, kw_only=True)
class Evasion(Component, ABC):
    """Changes test samples, each feature by at most `epsilon` and within the range of the data.

    White-box attacks declare the knowledge HISTORY, the model that every participant of the training receives, and may
    take gradients; all others only see the model's logits.
    """

    surface: ClassVar[str] = "evasion"
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING
    label_parameters: ClassVar[tuple[str, ...]] = ("epsilon",)

    epsilon: Annotated[float, Gt(0), Doc("largest change of a feature, in the units of the data")] = 0.1

    def required_knowledge(self) -> Knowledge:
        """What these hyper-parameters need; the class attribute `knowledge` unless overridden."""
        return self.knowledge

    def questions_per_sample(self) -> int | None:
        """The most questions a sample that may be asked on average; None for no limit."""
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

        `model` maps [q, ...] to logits [q, classes]; `features` [m, ...] and `labels` [m] are numpy arrays or torch
        tensors, and the answer is of the type of `features`. `low` and `high` are the range of the data: numbers, or
        a value for each feature.

        Raises AttackError for samples that are not finite or do not fit, and when the attack leaves its ball or range.
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
    """[q, classes], [q] -> [q]: the largest logit of a wrong class less that of the true one."""
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(dim=1) - true[:, 0]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, labels, reduction="sum")
