"""Mimic: over-represent one honest client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mimic(TiledAttack):
    """Mimic: all malicious clients copy one honest client, the one that stands out most.

    Formula: during `warmup` rounds the direction z of largest variance of the honest updates is tracked by power
    steps with running means, ``z <- normalise(t/(1+t) z + c/((1+t)||c||))``, ``c = sum_i <x_i - nu, z>(x_i - nu)``, and
    the target is ``argmax_i <x_i, z>``; after it the last target stays (when it does not take part in a round, the
    client that the rule would choose). No update is an outlier; it harms only heterogeneous clients.

    Knowledge: all honest updates.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing. ICLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Mimic
    >>> honest = np.array([[0.0, 1.0], [0.0, 2.0], [9.0, 0.0]])
    >>> Mimic()(honest, f=2, rng=1).tolist() in [[row, row] for row in honest.tolist()]
    True
    """

    reference: ClassVar[str] = (
        "Karimireddy et al., Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing, ICLR 2022"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    warmup: Annotated[int, Ge(1), Doc("attacked rounds in which the target is still searched for")] = 20

    def vector(self, view: View) -> Tensor:
        honest, memory = view.honest, view.memory
        step = memory.get("step", 0)
        if step < self.warmup:
            self._track(view, step)
        memory["step"] = step + 1
        row = int((honest @ memory["direction"]).nan_to_num(nan=-1e30).argmax())
        if step < self.warmup:
            memory["target"] = view.honest_ids[row]
        elif memory["target"] in view.honest_ids:
            row = view.honest_ids.index(memory["target"])
        return honest[row].clone()

    def _track(self, view: View, step: int) -> None:
        """One power step towards the direction in which the honest updates vary most."""
        memory, mean = view.memory, view.mean()
        keep = step / (1.0 + step)
        center = mean if step == 0 else keep * memory["center"] + mean / (1.0 + step)
        direction = view.normal() if step == 0 else memory["direction"]
        deviations = (view.honest - center).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        pull = (deviations @ direction) @ deviations
        length = pull.norm()
        if float(length) > 0.0:
            pull = pull / length
        direction = pull if step == 0 else keep * direction + pull / (1.0 + step)
        length = direction.norm()
        memory["center"], memory["direction"] = center, direction / length if float(length) > 0.0 else direction
