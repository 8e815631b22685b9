"""Fang's attack on trimmed means and medians: values just beyond the honest ones, on the wrong side."""

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
    """Fang's trimmed-mean attack: values just beyond the honest ones, on the side away from the honest mean.

    Formula: in a coordinate with a positive honest mean, each malicious client draws its own uniform value from
    ``[m/b, m]`` if ``m > 0`` and from ``[b m, m]`` otherwise, where m is the smallest honest value. In a coordinate
    with a negative mean it draws from ``[M, b M]`` if ``M > 0`` and from ``[M, M/b]`` otherwise, where M is the largest
    honest value. Where the mean is 0, it sends 0. With ``estimate="own"`` the attack does not know the honest extremes.
    It then draws from ``[mu - 4 sigma, mu - 3 sigma]`` or ``[mu + 3 sigma, mu + 4 sigma]``, where mu and sigma come
    from the malicious clients' own updates (sigma is ``|mu|`` when there is only one).

    Knowledge: all honest updates, or only the malicious clients' own updates.

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
    unfit: ClassVar[str] = (
        "against rules that compare whole updates: it goes beyond the honest values in every coordinate at once, "
        "which distances show"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    b: Annotated[float, Gt(1), Doc("factor by which values may lie beyond the honest extremes")] = 2.0
    estimate: Annotated[
        Literal["peers", "own"],
        Doc("whose updates are known: those of all honest clients, or the malicious clients' own"),
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
        """The intervals from the honest extreme on the wrong side to a value beyond it by the factor `b`."""
        sign = rows.mean(dim=0).sign()
        near = rows.amin(dim=0).where(sign > 0, rows.amax(dim=0)).where(sign != 0, 0.0)
        away = near.sign() != sign  # an extreme on the same side of zero as the mean has to move towards zero
        return near, near * near.new_tensor(self.b).where(away, near.new_tensor(1 / self.b))

    def _deviating(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The intervals from three to four standard deviations on the wrong side of the mean."""
        mean = rows.mean(dim=0)
        step = -mean.sign() * (rows.std(dim=0, correction=0) if len(rows) > 1 else mean.abs())
        return mean + 3 * step, mean + 4 * step
