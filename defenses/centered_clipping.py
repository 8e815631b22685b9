"""Centered clipping: the mean of clipped deviations from the previous aggregate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.source import Source
from robustfl.errors import StateError


@dataclass(frozen=True, kw_only=True)
class CenteredClipping(GramAggregator):
    """Centered clipping: deviations from the previous aggregate are clipped to a radius, averaged and added to it.

    Formula: ``v <- v + (1/n) sum_i (x_i - v) min(1, radius/||x_i - v||)``, repeated `iterations` times, starting at the
    previous aggregate (state `center`), or at zero in the first call. ``radius="median"`` uses the median distance of
    the rows from v, computed anew in each step.

    Shapes: [n, d] -> [d]. Cost: (n + 1)^2 d for the Gram of rows and center, and n^2 per iteration after it.

    Guarantee: f rows move the result by at most f radius/n per step, whatever they hold. The published analysis
    requires about f <= n/10 and client momentum.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Learning from History for Byzantine Robust Optimization. ICML 2021.

    Examples
    --------
    >>> from robustfl.defenses import CenteredClipping
    >>> CenteredClipping(radius=1.0)([[0.5, 0.0], [0.0, 0.5], [300.0, 400.0]]).round(4).tolist()
    [0.3667, 0.4333]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "f rows move the result by at most f radius/n per step"
    breakdown: ClassVar[str] = "about n/10 in theory"
    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    state_keys: ClassVar[tuple[str, ...]] = ("center",)

    radius: Annotated[
        Literal["median"] | float,
        Gt(0),
        Doc("length to which longer deviations from the center are clipped, or 'median'"),
    ] = "median"
    iterations: Annotated[int, Ge(1), Doc("clipping steps per call")] = 1

    @property
    def unclaimed(self) -> frozenset[str]:
        """Lengths are measured from a fixed center, and a radius that is a number fixes a unit of length."""
        shifts = frozenset({"translation", "box"})
        return shifts if self.radius == "median" else shifts | {"scaling", "consensus"}

    def extra_points(self, source: Source) -> list[Array]:
        center = self._state.get("center")
        if center is None:
            return [source.zeros()]
        if tuple(center.shape) != (source.d_here,):
            raise StateError(
                f"CenteredClipping remembers a center of {len(center)} values; the updates have {source.d_here}. "
                "Call reset()."
            )
        return [source.place(center)]

    def weights(self, gram: Gram) -> Floats:
        if gram.loops is not None:
            radius = 0.0 if self.radius == "median" else self.radius
            clipped: Floats = gram.loops.clipped(gram.centred, gram.n, self.iterations, radius)
            return clipped
        weights = np.zeros(gram.n + 1)
        weights[-1] = 1.0
        for _ in range(self.iterations):
            distances = np.sqrt(gram.squared_distances_from(weights))
            length = float(np.median(distances)) if self.radius == "median" else self.radius
            kept = np.divide(length, distances, out=np.ones(gram.n), where=distances > length)
            weights *= 1.0 - kept.mean()
            weights[:-1] += kept / gram.n
        return weights

    def next_state(self, value: Array) -> dict[str, Any]:
        return {"center": value}
