"""Norm bounding, with optional noise: "weak differential privacy" against backdoors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.sensitivity import Change, Term


@dataclass(frozen=True, kw_only=True)
class NormBound(Aggregator):
    """Norm bounding: updates longer than a radius are scaled back to it, averaged, and noise is added to the mean.

    Formula: ``y = (1/n) sum_i x_i min(1, radius/||x_i||) + noise z`` with z standard normal. z is drawn once for the
    mean, from `seed` and the number of earlier calls (state `round`, with noise only), so it is new in every round and
    the same in every run.

    The noise hides small backdoors ("weak differential privacy"). It is **no guarantee of differential privacy**, which
    needs noise in proportion to ``radius/n``, secret randomness and an account over the rounds. Published values are a
    radius of 3 to 5 with noise of 0.002 to 0.025.

    Shapes: [n, d] -> [d]. Cost: one pass for the norms and one for the sum. `weights` are those of the sum before noise
    is added.

    Guarantee: f rows move the result by at most 2 f radius/n, whatever they hold. Within that bound the rule does
    nothing against a direction that they push together. Breakdown point: there is none.

    Sensitivity: ``2 min(clip, radius)/n``, because scaling back to a radius is the projection on a ball, which brings
    no two points further apart, and a mean follows. The noise is the same for all rows and changes nothing.

    References
    ----------
    Z. Sun, P. Kairouz, A. T. Suresh, H. B. McMahan. Can You Really Backdoor Federated Learning? 2019.

    Examples
    --------
    >>> from robustfl.defenses import NormBound
    >>> NormBound(radius=5.0)([[3.0, 4.0], [30.0, 40.0]]).tolist()
    [3.0, 4.0]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "f rows move the result by at most 2 f radius/n"
    breakdown: ClassVar[str] = "none: the influence of a row is bounded, not its direction"
    unfit: ClassVar[str] = (
        "against many clients that push in one direction: f rows of allowed length move the result by 2 f radius/n"
        " in every round"
    )
    reference: ClassVar[str] = "Sun et al., Can You Really Backdoor Federated Learning?, 2019"
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    radius: Annotated[float, Gt(0), Doc("norm to which longer updates are scaled back")]
    noise: Annotated[float, Ge(0), Doc("standard deviation of the noise on each coordinate of the mean")] = 0.0
    seed: Annotated[int, Ge(0), Doc("seed of the noise")] = 0

    @property
    def stateful(self) -> bool:
        return self.noise > 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """The radius fixes a unit of length, and lengths are measured from the origin."""
        return frozenset({"translation", "scaling", "consensus", "box"})

    @property
    def averages(self) -> bool:
        return not self.noise

    def _aggregate(self, rows: Rows) -> Outcome:
        norms = np.sqrt(rows.squared_norms)
        weights = np.divide(self.radius, norms, out=np.ones(rows.n), where=norms > self.radius) / rows.n
        value = rows.combine(weights)
        if not self.noise:
            return Outcome(value, rows.source_weights(weights))
        number = int(self._state.get("round", 0))
        noisy = value + self.noise * rows.source.noise(self.seed, number)
        return Outcome(noisy, rows.source_weights(weights), state={"round": number + 1})

    def moved(self, change: Change) -> Term:
        return change.capped(self.radius).moved.over(change.n, change.rows.formula)
