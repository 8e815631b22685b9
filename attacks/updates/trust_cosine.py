"""At an angle that is still trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View
from robustfl.threats.updates.constant_directions import Steady, steady_direction, steady_knowledge
from robustfl.threats.updates.probing import Probe

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TrustCosine(TiledAttack):
    """Trusted cosine: away from the honest mean by the angle that pushes most before trust in it is gone.

    Formula: ``v = ||mu|| (cos(theta) g + sin(theta) q)`` with ``mu = mean(H)``, its direction g in place of the
    server's own update, and q the part of a direction kept for the whole run that is at a right angle to g. Of
    `angles` values of theta, evenly between 0 and pi/2, the one with the largest ``<AGG(V), q>``: rules that weigh
    updates by their cosine with a trusted one count v as long as theta stays below pi/2.

    Knowledge: all honest updates and the defense; for the directions ``base`` and ``anti`` the global models too.

    References
    ----------
    X. Cao, M. Fang, J. Liu, N. Z. Gong. FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping. NDSS
    2021 (the rule under attack, and adaptive attacks on it).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import TrustCosine
    >>> from robustfl.defenses import FLTrust
    >>> honest = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    >>> def trusting(rows):
    ...     return FLTrust()(rows, trusted=np.array([1.0, 0.0]))
    >>> crafted = TrustCosine()(honest, f=2, aggregate=trusting, message="delta")
    >>> bool(trusting(np.vstack([crafted, honest]))[1] > 0.2)
    True
    """

    reference: ClassVar[str] = (
        "Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, NDSS 2021 (the rule under "
        "attack)"
    )
    made_for: ClassVar[tuple[str, ...]] = ("fltrust",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY | Knowledge.DEFENSE

    angles: Annotated[int, Ge(1), Doc("how many angles the defense is asked about in a round")] = 17
    steady: Annotated[Steady, Doc("the direction that is kept: where the weights are to go")] = "ones"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS | Knowledge.DEFENSE | steady_knowledge(self.steady)

    def vector(self, view: View) -> Tensor:
        mean = view.mean()
        length = float(mean.norm())
        if not 0.0 < length < math.inf:
            return view.full(0.0)
        trusted, away = mean / length, steady_direction(view, self.steady)
        away = away - (away @ trusted) * trusted
        if float(away.norm()) < 1e-3:  # the direction is the mean's own: all honest clients go that way
            return mean
        away = away / away.norm()
        probe = Probe(view, {"trusted": length * trusted, "away": length * away}, self.offsets(view))

        def harm(theta: float) -> float:
            answer = probe.answer(turned(probe.vectors, theta))
            if answer is None:
                return -math.inf
            value = float(answer @ probe.vectors["away"])
            return value if math.isfinite(value) else math.inf

        tried = [0.5 * math.pi * (place + 1) / (self.angles + 1) for place in range(self.angles)]
        return turned({"trusted": length * trusted, "away": length * away}, max(tried, key=harm))


def turned(vectors: dict[str, Tensor], theta: float) -> Tensor:
    """The candidate at an angle `theta` from the trusted direction."""
    return math.cos(theta) * vectors["trusted"] + math.sin(theta) * vectors["away"]
