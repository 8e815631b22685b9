"""Norm bounding, with noise if wanted: "weak differential privacy" against backdoors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows


@dataclass(frozen=True, kw_only=True)
class NormBound(Aggregator):
    """Norm bounding: updates longer than a radius are scaled back to it, averaged, and noise is added to the mean.

    Formula: ``y = (1/n) sum_i x_i min(1, radius/||x_i||) + noise z`` with z standard normal, drawn once for the mean
    from (`seed`, number of earlier calls): fresh in every round, equal in every run (state `round`, with noise only).

    The noise blurs small backdoors ("weak differential privacy"). It is **no guarantee of differential privacy**: that
    takes noise in proportion to ``radius/n``, secret randomness and an account over the rounds. Published values:
    radius 3 to 5 with noise 0.002 to 0.025.

    Shapes: [n, d] -> [d]. Cost: one pass for the norms, one for the sum. `weights` are those of the sum, before noise.

    Guarantee: f rows move the result by at most 2 f radius/n, whatever they hold; a direction that they push together
    is not resisted beyond that. Breakdown point: none.

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
    reference: ClassVar[str] = "Sun et al., Can You Really Backdoor Federated Learning?, 2019"
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    radius: Annotated[float, Gt(0), Doc("largest norm of an update that counts in full")]
    noise: Annotated[float, Ge(0), Doc("standard deviation of the noise on each coordinate of the mean")] = 0.0
    seed: Annotated[int, Ge(0), Doc("seed of the noise")] = 0

    @property
    def stateful(self) -> bool:
        return self.noise > 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """The radius is a length of its own, measured from zero."""
        return frozenset({"translation", "scaling", "consensus", "box"})

    def _aggregate(self, rows: Rows) -> Outcome:
        norms = np.sqrt(rows.squared_norms)
        weights = np.divide(self.radius, norms, out=np.ones(rows.n), where=norms > self.radius) / rows.n
        value = rows.combine(weights)
        if not self.noise:
            return Outcome(value, rows.source_weights(weights))
        number = int(self._state.get("round", 0))
        noisy = value + self.noise * rows.source.noise(self.seed, number)
        return Outcome(noisy, rows.source_weights(weights), state={"round": number + 1})
