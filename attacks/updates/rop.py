"""Relocated orthogonal perturbation: updates near the previous aggregate, which centered clipping does not clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ROP(TiledAttack):
    """Relocated orthogonal perturbation (ROP): a step from the previous aggregate, across the direction of training.

    Formula: with the previous aggregate a and the honest mean mu, ``v = pi a + (1 - pi) mu + z e``, where e is the unit
    vector at `angle` to ``u = lambda a + (1 - lambda) mu`` in the plane of u and ``q = 1 - (<1, u>/<u, u>) u``:
    ``e = sin(angle) q/||q|| + cos(angle) u/||u||``. 270 degrees are the direction of -q, 180 degrees that of -u. In the
    first round a is 0 and u is mu. When u is a multiple of the vector of ones, q is a random direction orthogonal to u.
    A rule that clips deviations from the previous aggregate never clips the part pi a. The published length z is ALIE's
    z_max. The default here is the median length of honest updates, which fits updates of any scale.

    Knowledge: all honest updates and the global models so far.

    References
    ----------
    K. Özfatura, E. Özfatura, A. Küpçü, D. Gündüz. Byzantines Can Also Learn From History: Fall of Centered Clipping in
    Federated Learning. IEEE Transactions on Information Forensics and Security, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ROP
    >>> (ROP(z=1.0)(np.array([[2.0, 1.0], [4.0, -1.0]]), f=1).round(9) + 0.0).tolist()
    [[0.0, -1.0]]
    """

    reference: ClassVar[str] = (
        "Özfatura et al., Byzantines Can Also Learn From History: Fall of Centered Clipping in Federated Learning, "
        "IEEE TIFS 2024"
    )
    unfit: ClassVar[str] = "against rules that do not start from the previous aggregate, around which it is made"
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY

    z: Annotated[
        Literal["median"] | float, Gt(0), Doc("length of the step, or 'median' for the median length of honest updates")
    ] = "median"
    relocate: Annotated[float, Ge(0), Le(1), Doc("pi: weight of the previous aggregate in the start of the step")] = 1.0
    inertia: Annotated[
        float, Ge(0), Le(1), Doc("lambda: weight of the previous aggregate in the direction u of training")
    ] = 0.9
    angle: Annotated[float, Ge(0), Le(360), Doc("angle between the step and u, in degrees; 270 is orthogonal")] = 270.0

    def vector(self, view: View) -> Tensor:
        rows = view.finite()
        if not len(rows):
            return view.full(0.0)
        mean, previous = rows.mean(dim=0), view.previous_aggregate
        start = (1 - self.relocate) * mean
        course = mean
        if previous is not None:
            start = start + self.relocate * previous
            course = self.inertia * previous + (1 - self.inertia) * mean
        angle = math.radians(self.angle)
        along = course / course.norm() if bool(course.any()) else course
        step = math.sin(angle) * _across(view, along) + math.cos(angle) * along
        length = float(view.typical_length()) if self.z == "median" else self.z
        return start + length * step


def _across(view: View, along: Tensor) -> Tensor:
    """The unit vector orthogonal to `along` that is nearest to (1, ..., 1); 0 in one dimension."""
    for start in (view.full(1.0), view.normal()):
        rest = start - (start @ along) * along
        length = float(rest.norm())
        if length > 1e-4 * float(start.norm()):
            return rest / length
    return view.full(0.0)
