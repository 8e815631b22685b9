"""Mimic: malicious clients copy one honest client, so that it counts too much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import AttackError
from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mimic(TiledAttack):
    """Mimic: all malicious clients copy one honest client, the one that stands out most.

    Formula: during `warmup` rounds the attack tracks the direction z in which the honest updates vary most, by power
    steps with running means: ``z <- normalise(t/(1+t) z + c/((1+t)||c||))`` with
    ``c = sum_i <x_i - nu, z>(x_i - nu)``. The target is ``argmax_i <x_i, z>`` (argmin with ``side="least"``). After the
    warm-up the last target stays. In a round in which it does not take part, the attack copies the client that the
    formula would choose. Several libraries always copy the same client instead: ``client=0`` is the first honest client
    of the round, without a search. No malicious update is an outlier, and only heterogeneous clients are harmed.
    Updates that are not finite cannot be targets. When none is finite, zeros are sent.

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
    unfit: ClassVar[str] = "where clients hold similar data: copies of an honest update harm only where clients differ"
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    warmup: Annotated[int, Ge(1), Doc("number of attacked rounds in which the target is searched for")] = 20
    side: Annotated[
        Literal["most", "least"], Doc("whether the target has the largest or the smallest inner product with z")
    ] = "most"
    client: Annotated[
        int | None, Ge(0), Doc("place of the target among the honest updates of a round; searched for when not given")
    ] = None

    def vector(self, view: View) -> Tensor:
        if self.client is not None:
            return self._given(view, self.client)
        honest, memory = view.honest, view.memory
        step = memory.get("step", 0)
        if step < self.warmup:
            self._track(view, step)
        memory["step"] = step + 1
        finite = honest.isfinite().all(dim=1)
        if not bool(finite.any()):
            return view.full(0.0)
        direction = memory["direction"] if self.side == "most" else -memory["direction"]
        row = int((honest @ direction).masked_fill(~finite, -math.inf).argmax())
        if step < self.warmup:
            memory["target"] = view.honest_ids[row]
        elif memory.get("target") in view.honest_ids:
            kept = view.honest_ids.index(memory["target"])
            row = kept if bool(finite[kept]) else row
        return honest[row].clone()

    def _given(self, view: View, client: int) -> Tensor:
        if client >= view.h:
            raise AttackError(
                f"{self!r}: `client` should be below {view.h}, the number of honest updates in this round. "
                f"Found {client}. Choose a smaller one."
            )
        row = view.honest[client]
        return row.clone() if bool(row.isfinite().all()) else view.full(0.0)

    def _track(self, view: View, step: int) -> None:
        """One power step towards the direction in which the honest updates vary most."""
        memory, mean = view.memory, view.mean()
        keep = step / (1.0 + step)
        center = mean if step == 0 else keep * memory["center"] + mean / (1.0 + step)
        direction = view.normal() if step == 0 else memory["direction"]
        honest = view.honest
        deviations = (honest - center).masked_fill(~honest.isfinite().all(dim=1, keepdim=True), 0.0)
        largest = float(deviations.abs().max())
        if largest > 0.0:  # scales to [-1, 1], because squares of large deviations overflow
            deviations = deviations / largest
        pull = (deviations @ direction) @ deviations
        if float(pull.norm()) > 0.0:  # otherwise nothing varies, and the direction stays
            pull = pull / pull.norm()
            direction = pull if step == 0 else keep * direction + pull / (1.0 + step)
        memory["center"], memory["direction"] = center, direction / direction.norm()
