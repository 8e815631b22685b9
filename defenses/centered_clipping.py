"""Centered clipping: the mean of clipped deviations from the previous aggregate."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator, Rows
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.sensitivity import Change, Term, Unbounded
from robustfl.aggregation.updates.source import Source
from robustfl.errors import StateError

QUICK, SLOW = 3, 8
"""So many rows for each step make steps on a small matrix quicker than its Gram: within a cache, and beyond."""

CACHED = 1 << 18
"""The numbers of a matrix that stays in a second-level cache between steps."""


@dataclass(frozen=True, kw_only=True)
class CenteredClipping(GramAggregator):
    """Centered clipping: deviations from the previous aggregate are clipped to a radius, averaged and added to it.

    Formula: ``v <- v + (1/n) sum_i (x_i - v) min(1, radius/||x_i - v||)``, repeated `iterations` times, starting at the
    previous aggregate (state `center`), or at zero in the first call. ``radius="median"`` uses the median distance of
    the rows from v, computed anew in each step.

    Shapes: [n, d] -> [d]. Cost: (n + 1)^2 d for the Gram of rows and center, and n^2 per iteration after it.

    Guarantee: f rows move the result by at most f radius/n per step, whatever they hold. The published analysis
    requires about f <= n/10 and client momentum.

    Sensitivity: ``2 min(clip, radius) iterations/n`` for a radius that is a number, and rows need no other clip. From a
    fixed v, one row moves the next point by the change of its own projection over n. And from two points v and v', the
    same rows lead to points that are no further apart: the derivative of the step is the identity minus the mean of
    derivatives of projections, which all lie between 0 and 1. So each step adds as much as the first one. This holds
    for a center that is public. The last answer *before* noise is not: each round would then carry the difference of
    all earlier ones. So whoever adds noise to the answer calls :meth:`released` with what was released. It is reached.

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
    unfit: ClassVar[str] = (
        "without client momentum, or with more than about n/10 malicious clients: small pushes in one direction "
        "all get through and add up over the rounds"
    )
    no_sensitivity: ClassVar[str] = "the radius is data: one row moves it, and with it half of all rows"
    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    state_keys: ClassVar[tuple[str, ...]] = ("center",)
    public_inputs: ClassVar[str] = "the center, which is zero at first and then the last release, with its noise"

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

    def direct(self, rows: Rows) -> tuple[Array, Floats] | None:
        """Each step reads the rows twice, which takes as long as the products of some rows with all others."""
        rows_per_step = QUICK if rows.n * rows.d <= CACHED else SLOW
        if rows.mixing is not None or rows.n < rows_per_step * self.iterations:
            return None
        kernels = rows.kernels
        if not isinstance(kernels, Host) or not kernels.compiled:
            return None
        block = rows.source.whole()
        radius = 0.0 if self.radius == "median" else self.radius
        return None if block is None else kernels.clipped(block, rows.source.extras[0], self.iterations, radius)

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

    def released(self, value: Array) -> None:
        self._commit({"center": copy.deepcopy(value)})

    def moved(self, change: Change) -> Term | Unbounded:
        if self.radius == "median":
            return self.unknown()
        projected = replace(change, cleared=False).capped(self.radius).moved  # what is projected is x - v, not x
        return projected.times(self.iterations, "iterations").over(change.n, change.rows.formula)
