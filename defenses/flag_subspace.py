"""The subspace of the Flag Aggregator, computed from coordinates of the rows in their own span.

The input is a set of unit vectors: the rows, divided by their lengths, and, if pairs count, the directions of the
differences between rows. A subspace with projection P misses the share ``1 - y^T P y`` of a unit vector y. The wanted
subspace minimises the sum of the square roots of these shares. A square root is concave, so each step replaces it by
its tangent. The minimum for tangents follows from eigenvectors, and the objective never grows.

The vectors of pairs enter through the Laplacian of a graph on the rows, [n, n], and are never formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robustfl.aggregation import Gram
from robustfl.aggregation.kernels.base import Floats

ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""A difference of inner products below this share of their size is a rounding error; so is such an eigenvalue."""

FAINT = 1e-12
"""A squared length that is a difference of larger terms has too few digits for a direction below this share of them."""

TINY = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""Squared lengths below this have lost digits to underflow."""


def coordinates(gram: Gram) -> Floats:
    """Coordinates [n, r] of the rows in an orthonormal system whose span holds all of them.

    If rows have a large part in common, their inner products are not precise enough to tell their differences. So one
    coordinate lies along the point around which the Gram is taken, and the others come from what is left.
    """
    n = gram.n
    inner, origin = gram.centred[:n, :n], np.sqrt(gram.centred[n, n])
    along = np.divide(gram.centred[:n, n], origin, out=np.zeros(n), where=origin > 0.0)
    rest = inner - np.outer(along, along)
    left = np.diag(rest) > ROUNDING * np.diag(inner)
    sizes = np.sqrt(np.diag(rest), out=np.zeros(n), where=left)
    inverse = np.divide(1.0, sizes, out=np.zeros(n), where=left)
    values, vectors = np.linalg.eigh(rest * inverse[:, None] * inverse)  # scaled, so that no row costs others digits
    kept = values > ROUNDING * values[-1]
    return np.column_stack([along - origin, sizes[:, None] * vectors[:, kept] * np.sqrt(values[kept])])


class Span:
    """Unit rows [n, s] in as few coordinates as possible: orthonormal `vectors` [n, r] times `roots` [r]."""

    def __init__(self, units: Floats) -> None:
        vectors, roots, _ = np.linalg.svd(units, full_matrices=False)
        kept = roots > ROUNDING * roots[0]
        self.vectors: Floats = vectors[:, kept]
        self.roots: Floats = roots[kept]
        self.units: Floats = self.vectors * self.roots

    @property
    def rank(self) -> int:
        return len(self.roots)

    def projected(self, coefficients: Floats, subspace: Subspace) -> Floats:
        """Coefficients [n] with which the unit rows sum to the projection of ``sum_i coefficients_i u_i``."""
        point = self.roots * (coefficients @ self.vectors)
        inside = subspace.directions @ (subspace.shares * (point @ subspace.directions))
        found: Floats = self.vectors @ (inside / self.roots)
        return found


class Pairs:
    """The unit vectors along the differences of points, two for each pair: one in either direction.

    Parameters
    ----------
    points : [n, r]
    noise : [n], the uncertainty that each point adds to squared distances: a pair whose squared distance is no larger
        than the sum of its two uncertainties does not count
    weight : factor of each vector's term in the objective
    """

    def __init__(self, points: Floats, noise: Floats, weight: float) -> None:
        from scipy.spatial.distance import pdist, squareform

        squared = squareform(pdist(points, "sqeuclidean"))
        self.told = squared > noise[:, None] + noise
        np.fill_diagonal(self.told, False)
        self.inverse: Floats = np.divide(1.0, squared, out=np.zeros_like(squared), where=self.told)
        self.points: Floats = points - points[np.argmin(np.median(squared, axis=1))]  # so differences keep their digits
        self.weight = weight

    def scatter(self, slopes: Floats) -> Floats:
        """The sum of ``slope y y^T`` over all vectors y, [r, r], for slopes [n, n]."""
        edges = 2.0 * self.weight * slopes * self.inverse
        laplacian = np.diag(edges.sum(axis=1)) - edges
        scatter: Floats = self.points.T @ laplacian @ self.points
        return scatter

    def missed(self, outside: Floats) -> Floats:
        """The share [n, n] of each vector outside of a subspace; `outside` [r, k] spans the subspace's complement."""
        parts = self.points @ outside
        inner = parts @ parts.T
        own = np.diag(inner)
        shares: Floats = np.clip((own[:, None] + own - 2.0 * inner) * self.inverse, 0.0, 1.0)
        return shares


@dataclass(frozen=True)
class Subspace:
    """The subspace that one step finds.

    Attributes
    ----------
    directions : [r, r], orthonormal columns
    shares : [r], how far each direction belongs to the subspace: 1, 0, or between 0 and 1 for directions that tie
    missed : [n], the share of each unit row that lies outside of the subspace
    objective : the sum of the square roots of all missed shares, with `regularisation` under each root
    """

    directions: Floats
    shares: Floats
    missed: Floats
    objective: float


def subspaces(units: Floats, dimension: int, pairs: Pairs | None, regularisation: float) -> Iterator[Subspace]:
    """An endless sequence of better and better subspaces for unit rows [n, r]; the first holds principal components."""
    missed = np.ones(len(units))
    missed_pairs = None if pairs is None else np.ones_like(pairs.inverse)
    while True:
        scatter = (units.T * (missed + regularisation) ** -0.5) @ units
        if pairs is not None and missed_pairs is not None:
            scatter += pairs.scatter((missed_pairs + regularisation) ** -0.5)
        values, directions = np.linalg.eigh(scatter)
        shares = leading(values, dimension)
        outside = directions[:, shares < 1.0] * np.sqrt(1.0 - shares[shares < 1.0])
        missed = np.minimum(((units @ outside) ** 2).sum(axis=1), 1.0)
        objective = float(np.sqrt(missed + regularisation).sum())
        if pairs is not None:
            missed_pairs = pairs.missed(outside)
            objective += pairs.weight * float(np.sqrt(missed_pairs + regularisation)[pairs.told].sum())
        yield Subspace(directions, shares, missed, objective)


def leading(values: Floats, dimension: int) -> Floats:
    """How far the direction of each eigenvalue (ascending, [r]) belongs to the subspace of the largest ones, [r].

    Directions that tie share the places that are left equally. Which of them an eigensolver names first is chance, and
    for the tangent a mixture of best subspaces is as good as each of them.
    """
    if dimension >= len(values):
        return np.ones(len(values))
    last, slack = values[-dimension], ROUNDING * values[-1]
    above, tied = values > last + slack, np.abs(values - last) <= slack
    shares: Floats = above + tied * ((dimension - above.sum()) / tied.sum())
    return shares
