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
    """Geodesic: links of a chain that leaves the honest updates behind, none farther from the last than they are apart.

    Formula: single linkage by cosine distance joins the honest updates, in the end two clusters (``two``), or two that
    are more than half of all n updates together (``majority``, the last two if there are none); c is the angle between
    these. On the great circle from the honest mean (angle 0) through the update of the larger of the two that is
    farthest from it (angle t), the malicious clients stand at ``t + step c (1 + i step)``, i = 0 to f - 1, at most at
    pi: the first is nearer to the larger cluster than the smaller one is, and the others are nearer still to their
    neighbours. All are `stretch` median lengths long. Who looks for a cluster of more than half (FLAME), or for the
    larger of two (clipped clustering), takes them in before the smaller honest cluster, which goes.

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
    made_for: ClassVar[tuple[str, ...]] = ("flame",)
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS

    step: Annotated[float, Gt(0), Le(1), Doc("from one link to the next, in angles between the honest clusters")] = 0.99
    clusters: Annotated[Literal["majority", "two"], Doc("which honest clusters the step is measured between")] = (
        "majority"
    )
    stretch: Annotated[float, Gt(0), Doc("length of the updates, in median lengths of honest ones")] = 10.0

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
        if not bool(side.any()):  # nobody is off the mean: any other direction will do
            side = _across(steady_direction(view, "random").double(), start)
        links = [min(angle + self.step * gap * (1.0 + link * self.step), math.pi) for link in range(view.f)]
        circle = torch.stack([math.cos(link) * start + math.sin(link) * side for link in links])
        return (self.stretch * view.typical_length().double() * circle).to(mean)


def _clusters(cosines: NDArray[np.float64], most: int) -> tuple[list[int], float]:
    """The larger of the two clusters that first have `most` rows or more together, or all, and the angle between them.

    Of two clusters of one size it is that of the farther rows.
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
    """The unit vector at a right angle to a unit `axis`, towards `vector`; zero when that lies on the axis."""
    rest = vector - (vector @ axis) * axis
    rest = rest - (rest @ axis) * axis  # what rounding left of it
    length = float(rest.norm())
    return rest / length if length > 1e-6 * float(vector.norm()) else 0.0 * rest
