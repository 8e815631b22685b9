"""Many signed steps up the loss, from several places."""

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
    """Projected gradient descent: signed steps up the loss, back into the ball of radius epsilon after each.

    Formula: ``x <- clamp(x + step_size sign(grad_x L(x, y)))``, `steps` times, from a random place in the ball; the
    clamp is to within epsilon of the sample in every feature, and to the range of the data. Samples on which the model
    is still right are tried again, `restarts` starts in all. Of a sample's ends the one counts where the largest wrong
    logit is most above the true one.

    Knowledge: the model, with gradients. Where the model is so sure that the cross-entropy is flat in float32, the
    margin, largest wrong logit less true logit, still has a slope.

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
    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    steps: Annotated[int, Ge(1), Doc("steps from each start")] = 20
    step_size: Annotated[float | None, Gt(0), Doc("length of a step; 2.5 epsilon / steps when not given")] = None
    random_start: Annotated[bool, Doc("whether to start at a random place in the ball, or at the sample itself")] = True
    restarts: Annotated[int, Ge(1), Doc("starts in all; only random ones differ")] = 1
    loss: Annotated[Literal["cross_entropy", "margin"], Doc("what is climbed")] = "cross_entropy"

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
