"""The attack that turns the honest mean by an angle that is still trusted."""

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
    """Trusted cosine: the honest mean, turned by the angle that harms most before the rule no longer trusts it.

    Formula: ``v = ||mu|| (cos(theta) g + sin(theta) q)`` with ``mu = mean(H)``. g is the direction of mu, which stands
    in for the server's own update. q is the part at a right angle to g of a direction that is kept for the whole run.
    Of `angles` values of theta, evenly spaced between 0 and pi/2, the attack takes the one with the largest
    ``<AGG(V), q>``. Rules that weigh updates by their cosine with a trusted update count v while theta is below pi/2.

    Knowledge: all honest updates and the defense; the global models too for ``across``, ``base`` and ``anti``.

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
    unfit: ClassVar[str] = "against rules without a trusted update, which weigh nothing by its direction"
    made_for: ClassVar[tuple[str, ...]] = ("fltrust",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY | Knowledge.DEFENSE

    angles: Annotated[int, Ge(1), Doc("number of angles that are tried against the defense per round")] = 17
    steady: Annotated[Steady, Doc("the direction in which the weights are pushed in every round")] = "ones"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS | Knowledge.DEFENSE | steady_knowledge(self.steady)

    def vector(self, view: View) -> Tensor:
        mean = view.mean()
        length = float(mean.norm())
        if not 0.0 < length < math.inf:
            return view.full(0.0)
        trusted, away = mean / length, steady_direction(view, self.steady)
        away = away - (away @ trusted) * trusted
        if float(away.norm()) < 1e-3:  # the direction is that of the mean, so honest clients already go that way
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
    """The candidate at the angle `theta` from the trusted direction."""
    return math.cos(theta) * vectors["trusted"] + math.sin(theta) * vectors["away"]
