"""FLAME: the largest cluster of directions, clipped to the median norm, with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.updates.gram import ROUNDING


@dataclass(frozen=True, kw_only=True)
class FLAME(Aggregator):
    """FLAME: updates outside the majority cluster of directions go, the others are clipped, averaged and blurred.

    Formula: HDBSCAN on the cosine distances ``1 - cos(x_i, x_k)`` with smallest cluster floor(n/2) + 1 and one sample
    to a core point leaves one cluster K. With S the median norm of all n updates,
    ``y = (1/|K|) sum_{i in K} x_i min(1, S/||x_i||) + noise S z``, z standard normal, drawn from (`seed`, number of
    earlier calls): fresh in every round, equal in every run (state `round`, with noise only).

    With these settings HDBSCAN's one cluster is the smallest cluster of single linkage that holds more than half of the
    updates, and that is what is computed; distances that tie join it together, so the order of rows does not matter.

    The paper measures the angle between the clients' *models*; here it is between the rows that come in. Pass models
    for updates to have the paper's angles (then the norms are the models', too). A zero row is at distance 1 from
    others. The paper's noise factor is 0.001 for images and text, 0.01 for tables.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, n^2 log n for the clusters. `weights` are those of the sum, before
    noise.

    Guarantee: for n >= 2f + 1 the result is no longer than the longest honest update, noise aside. The cluster may
    lose honest rows; malicious ones that point the way of the majority stay in. Breakdown point: just under 1/2.

    References
    ----------
    T. D. Nguyen, P. Rieger, H. Chen, H. Yalame, H. Moellering, H. Fereidooni, S. Marchal, M. Miettinen, A. Mirhoseini,
    S. Zeitouni, F. Koushanfar, A.-R. Sadeghi, T. Schneider. FLAME: Taming Backdoors in Federated Learning. USENIX
    Security 2022.

    Examples
    --------
    >>> from robustfl.defenses import FLAME
    >>> FLAME(noise=0.0)([[3.0, 4.0], [4.0, 3.0], [3.5, 3.5], [-90.0, -100.0]]).round(3).tolist()
    [3.5, 3.5]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "no longer than the median update, noise aside, while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    reference: ClassVar[str] = "Nguyen et al., FLAME: Taming Backdoors in Federated Learning, USENIX Security 2022"
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    noise: Annotated[
        float, Ge(0), Doc("standard deviation of the noise on each coordinate, in median norms of the updates")
    ] = 0.001
    seed: Annotated[int, Ge(0), Doc("seed of the noise")] = 0

    @property
    def stateful(self) -> bool:
        return self.noise > 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """Directions and norms are those from zero; noise leaves equal rows only nearly as they are."""
        return frozenset({"translation", "box"} | ({"consensus"} if self.noise else set()))

    @property
    def geometric(self) -> bool:
        return True

    def _aggregate(self, rows: Rows) -> Outcome:
        norms = np.sqrt(rows.squared_norms)
        radius = float(np.median(norms))
        kept = majority_cluster(cosine_distances(rows, norms))
        weights = kept * np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius) / kept.sum()
        value = rows.combine(weights)
        if not self.noise:
            return Outcome(value, rows.source_weights(weights))
        number = int(self._state.get("round", 0))
        noisy = value + self.noise * radius * rows.source.noise(self.seed, number)
        return Outcome(noisy, rows.source_weights(weights), state={"round": number + 1})


def cosine_distances(rows: Rows, norms: Floats) -> Floats:
    """`1 - cos(x_i, x_k)`, [n, n], never negative; 1 between a zero row and others, 0 between zero rows.

    Rows near each other are compared by their difference, which keeps its digits where the cosine is all but 1, as for
    models; others by their product, which keeps its own where norms differ by orders of magnitude.
    """
    product = norms[:, None] * norms[None, :]
    live = product > 0.0
    squared = rows.gram.squared_distances
    cosine = np.divide(rows.gram.products, product, out=np.zeros_like(product), where=live)
    across = squared - (norms[:, None] - norms[None, :]) ** 2
    across[across <= ROUNDING * squared] = 0.0
    near = np.divide(across, 2.0 * product, out=np.ones_like(product), where=live)
    distances: Floats = np.maximum(np.where(squared < product, near, 1.0 - cosine), 0.0)
    distances[~live & (norms[:, None] == norms[None, :])] = 0.0
    np.fill_diagonal(distances, 0.0)
    return distances


def majority_cluster(distances: Floats) -> NDArray[np.bool_]:
    """The rows [n] of the smallest single-linkage cluster that more than half of the rows belong to."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    n = len(distances)
    if n == 1:
        return np.ones(1, dtype=np.bool_)
    tree = linkage(squareform(distances, checks=False), "single")  # [n - 1, 4]: ..., height, rows below
    height = tree[np.argmax(2 * tree[:, 3] > n), 2]
    labels = fcluster(tree, height, "distance")
    kept: NDArray[np.bool_] = labels == np.argmax(np.bincount(labels))
    return kept
