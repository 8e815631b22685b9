"""The attack that turns samples over from within the honest spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, PredictionAttack, View
from robustfl.threats.predictions import beliefs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class HiddenShift(PredictionAttack):
    """Hidden shift: moves belief from the first to another class, by no more than honest clients differ themselves.

    Formula: with mu and sigma the mean and the standard deviation of the known predictions of a sample, and a the class
    that mu believes most, the claim is ``mu + t_b (e_b - e_a)`` with ``t_b = min(z sigma_a, z sigma_b, mu_a)``: a
    distribution that is within z deviations of the honest mean in every class. The class b is the one for which
    ``t_b - n/(2 f) (mu_a - mu_b)`` is largest. Where that is positive, the mean over n clients takes the sample for b:
    with ``h = n - f``, its margin is ``(h (mu_a - mu_b) + f (mu_a - mu_b - 2 t_b))/n``. With `spare`, samples that
    cannot be turned over in a mean are left at mu, so that nothing is given away for nothing.

    This is "a little is enough" on the simplex, spent sample by sample. It harms while clients still disagree: when all
    of them are sure, sigma is near 0 and so is the shift.

    Knowledge: all honest predictions, or the malicious clients' own ones with ``estimate="own"``, which needs f >= 2.

    References
    ----------
    G. Baruch, M. Baruch, Y. Goldberg. A Little Is Enough: Circumventing Defenses For Distributed Learning.
    NeurIPS 2019 (for the idea, on updates).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import HiddenShift
    >>> doubt = [[0.7, 0.3], [0.3, 0.7], [0.6, 0.4]]
    >>> (HiddenShift(z=1.0)(np.array(doubt) - 0.5, f=1, classes=2) + 0.5).round(3).tolist()
    [[0.363, 0.637]]
    >>> sure = [[0.9, 0.1], [0.9, 0.1], [0.8, 0.2]]
    >>> (HiddenShift(z=1.0)(np.array(sure) - 0.5, f=1, classes=2) + 0.5).round(3).tolist()
    [[0.867, 0.133]]
    """

    reference: ClassVar[str] = (
        "Baruch et al., A Little Is Enough: Circumventing Defenses For Distributed Learning, NeurIPS 2019"
    )
    unfit: ClassVar[str] = (
        "where clients agree, as the shift is in proportion to what they differ by, and late in a training near 0"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("z",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    z: Annotated[float, Gt(0), Doc("largest shift of a probability, in standard deviations of the honest ones")] = 1.5
    spare: Annotated[bool, Doc("whether samples that a mean would not turn over are left as they are")] = True
    estimate: Annotated[Literal["peers", "own"], Doc("whose predictions mu and sigma are taken from")] = "peers"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS if self.estimate == "peers" else Knowledge.OWN

    def claimed(self, view: View) -> Tensor:
        known = beliefs(view, self.estimate)
        shifted, gains = shifts(known, self.z, view.n, view.f)
        if not self.spare:
            return shifted
        return shifted.where((gains > 0)[:, None], known.mean(dim=0))


def shifts(known: Tensor, z: float, n: int, f: int) -> tuple[Tensor, Tensor]:
    """The hidden claims [m, C] for predictions [k, m, C], and by how much they go beyond what a mean bears, [m].

    The second value is in probability: ``t_b - n/(2 f) (mu_a - mu_b)`` of the class b to which belief is moved.
    """
    import torch

    mean = known.mean(dim=0)
    spread = known.std(dim=0, correction=0)
    top = mean.argmax(dim=1, keepdim=True)  # [m, 1]
    margins = mean.gather(1, top) - mean
    room = torch.minimum(spread, spread.gather(1, top)).mul_(z)
    room = torch.minimum(room, mean.gather(1, top))
    gains = (room - n / (2 * f) * margins).scatter_(1, top, -torch.inf)
    gain, other = gains.max(dim=1, keepdim=True)
    moved = room.gather(1, other)
    return mean.scatter_add(1, other, moved).scatter_add_(1, top, -moved), gain[:, 0]
