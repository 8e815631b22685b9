"""Projected gradient descent: many signed steps that increase the loss, from one or more starting points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats import Evasion, Knowledge, Victim
from robustfl.threats.evasion import climbed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PGD(Evasion):
    """Projected gradient descent: signed steps increase the loss, and each step is projected into the epsilon ball.

    Formula: ``x <- clamp(x + step_size sign(grad_x L(x, y)))``, repeated `steps` times from a random point in the ball.
    The clamp keeps every feature within epsilon of the sample's value and within the range of the data. A sample on
    which the model is still right is tried again, until there were `restarts` starts. Of the points that a sample has
    reached, the attack keeps the one with the largest margin.

    Knowledge: the model, with gradients. The margin is the largest logit of a wrong class minus the logit of the true
    class. It still has a slope where the model is so certain that the cross-entropy is flat in float32.

    References
    ----------
    A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu. Towards Deep Learning Models Resistant to Adversarial
    Attacks. ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import PGD
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> PGD(epsilon=0.2)(model, torch.tensor([[0.5, 0.4]]), torch.tensor([0]))
    tensor([[0.3000, 0.6000]])
    """

    reference: ClassVar[str] = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018"
    unfit: ClassVar[str] = (
        "alone, as a model that hides its gradients looks robust to it, which `zeroth_order` finds out; or with an "
        "epsilon so large that people would take changed samples for another class"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    steps: Annotated[int, Ge(1), Doc("number of steps from each start")] = 20
    step_size: Annotated[
        float | None, Gt(0), Doc("change of each feature per step; 2.5 epsilon / steps when not given")
    ] = None
    random_start: Annotated[bool, Doc("whether to start at a random point of the ball instead of the sample")] = True
    restarts: Annotated[int, Ge(1), Doc("total number of starts; it has an effect only with random_start")] = 1
    loss: Annotated[Literal["cross_entropy", "margin"], Doc("loss that is increased")] = "cross_entropy"

    def perturb(self, victim: Victim) -> Tensor:
        import torch

        best, highest = victim.features.clone(), victim.features.new_full((len(victim.features),), -torch.inf)
        for _ in range(self.restarts if self.random_start else 1):
            left = torch.nonzero(highest <= 0)[:, 0]
            if not len(left):
                break
            ends = self._climb(victim, left)
            reached = victim.margins(ends, victim.labels[left])
            higher = reached > highest[left]
            best[left[higher]], highest[left[higher]] = ends[higher], reached[higher]
        return best

    def _climb(self, victim: Victim, rows: Tensor) -> Tensor:
        labels = victim.labels[rows]

        def slope(features: Tensor) -> Tensor:
            return victim.gradient(features, labels, self.loss)

        return climbed(
            victim.anywhere(rows) if self.random_start else victim.features[rows],
            victim.lower[rows],
            victim.upper[rows],
            slope,
            step_size=2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size,
            steps=self.steps,
        )
