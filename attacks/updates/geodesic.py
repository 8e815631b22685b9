"""A chain of updates that leads away from the honest ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View
from robustfl.threats.updates.constant_directions import steady_direction
from robustfl.threats.updates.geometry import products

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Geodesic(UpdateAttack):
    """Geodesic: a chain of updates that leaves the honest ones in steps smaller than the gap between honest clusters.

    Formula: single linkage by cosine distance joins the honest updates. Its last join (``two``), or its first join that
    makes a cluster of more than half of all n updates (``majority``; the last join if there is none), joins two
    clusters, and c is the angle between them. Consider the great circle from the honest mean (angle 0) through that
    update of the larger cluster which is farthest from the mean (angle t). The malicious clients lie on it at
    ``t + step c (1 + i step)`` for i = 0 to f - 1, but not beyond pi. The first of them is nearer to the larger cluster
    than the smaller cluster is, and each other one is still nearer to the one before. All are `stretch` median lengths
    long. A defense that looks for a cluster of more than half (FLAME), or for the larger of two clusters (clipped
    clustering), therefore accepts them before the smaller honest cluster, which is rejected.

    Knowledge: all honest updates.

    References
    ----------
    S. Li, E. C.-H. Ngai, F. Ye, L. Ju, T. Zhang, T. Voigt. Blades: A Unified Benchmark Suite for Byzantine Attacks and
    Defenses in Federated Learning. IoTDI 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Geodesic
    >>> angles = np.radians([0.0, 10.0, -10.0, 20.0, -20.0])
    >>> honest = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    >>> x, y = Geodesic(step=1.0, clusters="two")(honest, f=3).T
    >>> np.degrees(np.arctan2(abs(y), x)).round().tolist()
    [30.0, 40.0, 50.0]
    """

    reference: ClassVar[str] = (
        "Li et al., Blades: A Unified Benchmark Suite for Byzantine Attacks and Defenses in Federated Learning, "
        "IoTDI 2024"
    )
    unfit: ClassVar[str] = (
        "against rules that do not cluster updates by cosine distance, for which its steps are not chosen"
    )
    made_for: ClassVar[tuple[str, ...]] = ("flame",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    step: Annotated[float, Gt(0), Le(1), Doc("size of a step, in angles between the two honest clusters")] = 0.99
    clusters: Annotated[
        Literal["majority", "two"],
        Doc("honest clusters whose angle is c: the join that makes a majority, or the last two"),
    ] = "majority"
    stretch: Annotated[float, Gt(0), Doc("length of the updates, in median lengths of honest updates")] = 10.0

    def craft(self, view: View) -> Tensor:
        import torch

        rows, mean = view.finite(), view.mean()
        rows = rows[rows.any(dim=1)]
        if not len(rows) or not bool(mean.any()):
            return view.full(0.0).repeat(view.f, 1)
        gram = products(torch.cat([rows, mean[None]])).numpy()
        lengths = np.sqrt(gram.diagonal())
        cosines = np.clip(gram / lengths / lengths[:, None], -1.0, 1.0)
        most = view.n // 2 + 1 if self.clusters == "majority" else len(rows)
        larger, gap = _clusters(cosines[:-1, :-1], most)
        farthest = min(larger, key=lambda row: cosines[row, -1])
        angle = math.acos(cosines[farthest, -1])
        start = mean.double() / lengths[-1]
        side = _across(rows[farthest].double(), start)
        if not bool(side.any()):  # all updates lie along the mean, so any other direction will do
            side = _across(steady_direction(view, "random").double(), start)
        links = [min(angle + self.step * gap * (1.0 + link * self.step), math.pi) for link in range(view.f)]
        circle = torch.stack([math.cos(link) * start + math.sin(link) * side for link in links])
        return (self.stretch * view.typical_length().double() * circle).to(mean)


def _clusters(cosines: NDArray[np.float64], most: int) -> tuple[list[int], float]:
    """The larger of the first two clusters that have `most` rows or more together, and the angle between the two.

    The last join is used when no two clusters are large enough. Of two clusters of the same size, the one whose rows
    have the larger sum of distances counts as the larger.
    """
    from scipy.cluster.hierarchy import linkage, to_tree

    if len(cosines) == 1:
        return [0], 0.0
    distances = np.maximum(1.0 - cosines, 0.0)
    tree = linkage(distances[np.triu_indices(len(cosines), 1)], method="single")
    enough = np.flatnonzero(tree[:, 3] >= most)
    left, right, distance, _ = tree[enough[0] if len(enough) else -1]
    nodes = to_tree(tree, rd=True)[1]
    parts = [nodes[int(child)].pre_order() for child in (left, right)]
    larger = max(parts, key=lambda part: (len(part), round(float(distances[part].sum()), 9)))
    return larger, math.acos(1.0 - float(distance))


def _across(vector: Tensor, axis: Tensor) -> Tensor:
    """The unit vector at a right angle to a unit `axis`, towards `vector`; zero when `vector` lies on the axis."""
    rest = vector - (vector @ axis) * axis
    rest = rest - (rest @ axis) * axis  # removes what rounding has left of it
    length = float(rest.norm())
    return rest / length if length > 1e-6 * float(vector.norm()) else 0.0 * rest
