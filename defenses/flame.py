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
from robustfl.aggregation.sensitivity import TIE
from robustfl.aggregation.updates.gram import ROUNDING


@dataclass(frozen=True, kw_only=True)
class FLAME(Aggregator):
    """FLAME: it drops updates outside the majority cluster of directions, clips and averages the rest and adds noise.

    Formula: HDBSCAN on the cosine distances ``1 - cos(x_i, x_k)``, with smallest cluster size floor(n/2) + 1 and one
    sample per core point, finds one cluster K. With S the median norm of all n updates,
    ``y = (1/|K|) sum_{i in K} x_i min(1, S/||x_i||) + noise S z``, where z is standard normal. z is drawn from `seed`
    and the number of earlier calls (state `round`, with noise only), so it is new in every round and the same in every
    run.

    With these settings the one cluster of HDBSCAN is the smallest single-linkage cluster that holds more than half of
    the updates, and this is what is computed. Rows at equal distances join the cluster together, so the order of rows
    does not matter.

    The paper measures the angles between the clients' *models*; this rule measures the angles between the rows that it
    is given. To have the paper's angles, pass models in place of updates (then the norms are those of models, too). A
    zero row is at distance 1 from all others. The paper's noise factor is 0.001 for images and text, 0.01 for tables.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^2 log n for the clusters. `weights` are those of the sum
    before noise is added.

    Guarantee: for n >= 2f + 1 the result without its noise is no longer than the longest honest update. The cluster
    may lose honest rows, and malicious rows that point in the direction of the majority stay in. Breakdown point: just
    under 1/2.

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
    unfit: ClassVar[str] = (
        "where honest clients fall into groups: the smaller group is filtered as if it were malicious; or where "
        "attackers stay close to the direction of the majority, which passes"
    )
    no_sensitivity: ClassVar[str] = TIE
    reference: ClassVar[str] = "Nguyen et al., FLAME: Taming Backdoors in Federated Learning, USENIX Security 2022"
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    noise: Annotated[
        float,
        Ge(0),
        Doc("standard deviation of the noise on each coordinate, in multiples of the median norm of the updates"),
    ] = 0.001
    seed: Annotated[int, Ge(0), Doc("seed of the noise")] = 0

    @property
    def stateful(self) -> bool:
        return self.noise > 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """Directions and norms are measured from the origin, and with noise the mean of equal rows is not exact."""
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

    For rows near each other the distance comes from their difference, which stays precise when the cosine is almost 1,
    as between models. For others it comes from their product, which stays precise when the norms differ by orders of
    magnitude.
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
    """A mask [n] of the rows in the smallest single-linkage cluster that holds more than half of the rows."""
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
