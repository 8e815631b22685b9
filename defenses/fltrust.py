"""FLTrust: updates count to the extent that they point in the direction of the server's own update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.source import Extent

TINY = float(np.finfo(np.float64).tiny)
"""A squared norm below the smallest normal number has lost its digits, so such an update is treated as zero."""


@dataclass(frozen=True, kw_only=True)
class FLTrust(Aggregator):
    """FLTrust: the mean of the updates, scaled to the length of the server's own and weighted by their cosine with it.

    Formula: ``y = sum_i t_i (||g||/||x_i||) x_i / sum_i t_i`` with the trust scores ``t_i = max(0, cos(x_i, g))``. The
    server computes the update g itself on a few clean samples, in the same way as the clients do, and the caller
    passes it: ``rule(updates, trusted=g)``. Zero rows have no trust. If no row is trusted, or g is zero, the answer is
    zero.

    Shapes: [n, d] and [d] -> [d]. Cost: n d for the cosines and n d for the sum. No Gram is needed. Only inner
    products with g are computed, in float64, so a row of any size leaves the precision of the others intact. `weights`
    sum to more than 1 when short updates are stretched; `info["trust"]` [n] holds the trust scores.

    Guarantee: whatever any number of rows hold, the result is no longer than g, and it is zero or at an angle of less
    than 90 degrees to g. Attacks that keep a positive cosine get through. Breakdown point: there is none while g can be
    trusted.

    References
    ----------
    X. Cao, M. Fang, J. Liu, N. Z. Gong. FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping. NDSS
    2021.

    Examples
    --------
    >>> from robustfl.defenses import FLTrust
    >>> FLTrust()([[2.0, 0.0], [-9.0, -9.0], [-5.0, 0.0]], trusted=[1.0, 0.0]).tolist()
    [1.0, 0.0]
    """

    name: ClassVar[str] = "fltrust"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "no longer than the trusted update, and never against it, for any number of bad rows"
    breakdown: ClassVar[str] = "none while the trusted update is honest"
    unfit: ClassVar[str] = (
        "without clean samples at the server that resemble the clients' data; and where they are good enough that "
        "the server alone would learn as much"
    )
    no_sensitivity: ClassVar[str] = "a row that alone points along the trusted update is the whole answer"
    reference: ClassVar[str] = (
        "Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, NDSS 2021"
    )

    @property
    def wants_trusted(self) -> bool:
        return True

    @property
    def unclaimed(self) -> frozenset[str]:
        """Directions are measured from the origin, and the length is that of the trusted update."""
        return frozenset({"translation", "box"})

    def _aggregate(self, rows: Rows) -> Outcome:
        inner, length = _along_trusted(rows)
        squared = rows.squared_norms
        norms = np.sqrt(squared, out=np.full(rows.n, np.inf), where=squared >= TINY)
        trust = np.zeros(rows.n)
        if length > 0.0:
            trust = np.clip(inner / norms / length, 0.0, 1.0)
        weights = trust * (length / norms) / (trust.sum() or 1.0)
        return Outcome(rows.combine(weights), rows.source_weights(weights), info={"trust": trust})


def _along_trusted(rows: Rows) -> tuple[Floats, float]:
    """Inner products [n] of the rows with the trusted update, and its length, or 0 if that is too small to measure."""
    source, ops = rows.source, rows.kernels
    trusted: Array = source.trusted

    def products(values: Array, columns: slice, extent: Extent | None) -> Floats:
        part = trusted[columns]
        return np.append(ops.inner(values, part), ops.inner(part[None], part))

    found = np.zeros(source.n + 1)
    for _, part in source.sweep(products):
        found += part
    found = np.asarray(source.total(found))
    inner: Floats = found[:-1] if rows.mixing is None else rows.mixing @ found[:-1]
    return inner, float(np.sqrt(found[-1])) if found[-1] >= TINY else 0.0
