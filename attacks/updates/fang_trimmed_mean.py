"""Fang's attack on trimmed means and medians: just beyond the honest values, on the wrong side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View
from robustfl.threats.updates.geometry import needed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FangTrimmedMean(UpdateAttack):
    """Fang's trimmed-mean attack: values just beyond the honest ones, on the side that training does not go.

    Formula: where the honest mean is positive, each malicious client draws its own value uniformly between the
    smallest honest value m and what lies beyond it by a factor b: ``[m/b, m]`` if ``m > 0``, ``[b m, m]`` otherwise;
    where it is negative, between the largest value M and ``b M`` if ``M > 0``, ``M/b`` otherwise; 0 where it is 0.
    ``estimate="own"`` knows no honest extremes and draws from ``[mu - 4 sigma, mu - 3 sigma]`` or
    ``[mu + 3 sigma, mu + 4 sigma]`` of the malicious clients' own updates (sigma is ``|mu|`` of a single one).

    Knowledge: all honest updates, or the malicious clients' own.

    References
    ----------
    M. Fang, X. Cao, J. Jia, N. Z. Gong. Local Model Poisoning Attacks to Byzantine-Robust Federated Learning.
    USENIX Security 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import FangTrimmedMean
    >>> honest = np.array([[2.0, -1.0], [1.0, -3.0], [3.0, -2.0]])
    >>> FangTrimmedMean(deterministic=True)(honest, f=2).tolist()
    [[0.5, -0.5], [0.5, -0.5]]
    """

    reference: ClassVar[str] = (
        "Fang et al., Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, USENIX Security 2020"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    b: Annotated[float, Gt(1), Doc("how far beyond the honest extremes values may lie, as a factor")] = 2.0
    estimate: Annotated[
        Literal["peers", "own"], Doc("whose updates are looked at: all honest ones, or the attackers' own")
    ] = "peers"
    deterministic: Annotated[bool, Doc("whether to send the far ends of the intervals instead of random values")] = (
        False
    )

    def required_knowledge(self) -> Knowledge:
        return needed(self.estimate)

    def craft(self, view: View) -> Tensor:
        rows = view.finite(self.estimate)
        if not len(rows):
            return view.full(0.0).repeat(view.f, 1)
        near, far = self._beyond(rows) if self.estimate == "peers" else self._deviating(rows)
        if self.deterministic:
            return far.repeat(view.f, 1)
        draws = near.new_tensor(view.rng.random((view.f, view.d), dtype=np.float32))
        return near + draws * (far - near)

    def _beyond(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """From the honest extreme on the wrong side to `b` times as far, away from the honest values."""
        sign = rows.mean(dim=0).sign()
        near = rows.amin(dim=0).where(sign > 0, rows.amax(dim=0)).where(sign != 0, 0.0)
        away = near.sign() != sign  # from zero: an extreme on the side of the mean leads towards zero instead
        return near, near * near.new_tensor(self.b).where(away, near.new_tensor(1 / self.b))

    def _deviating(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """From three to four standard deviations on the wrong side of the mean."""
        mean = rows.mean(dim=0)
        step = -mean.sign() * (rows.std(dim=0, correction=0) if len(rows) > 1 else mean.abs())
        return mean + 3 * step, mean + 4 * step
