"""Letters that are just near enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Lt
from typing_extensions import Doc

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack
from robustfl.threats.peers.directions import Towards, towards

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class Edge(PeerAttack):
    """Edge: a letter as far from its receiver as a rule that keeps the nearest letters still accepts.

    Formula: ``v_i = x_i + r u``, where r is (1 - slack) times the distance of the honest neighbour of rank
    ``k - b - a + 1``, for k neighbours of which a are malicious, and a rule that drops b. It is nearer than this
    neighbour, who is dropped in its place. The direction u is that of ``-m - x_i`` for ``sign`` and that of ``x_i - m``
    for ``away``, of length 1, where m is the mean of the peer's and its honest neighbours' models.

    Knowledge: the models of the victims' honest neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Edge
    >>> Edge()(np.zeros(2), np.array([[1.0, 0.0], [0.0, 2.0]])).round(6).tolist()
    [-0.885483, -1.770966]
    """

    unfit: ClassVar[str] = "against rules that do not drop the farthest letters, for which its distance is not chosen"

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    label_parameters: ClassVar[tuple[str, ...]] = ("direction",)

    direction: Annotated[
        Towards, Doc("where the letter lies: towards the opposite of the mean, or away from the mean")
    ] = "sign"
    slack: Annotated[float, Ge(0), Lt(1), Doc("share by which the letter is nearer than the honest one")] = 0.01

    def craft(self, view: PeerView) -> Tensor:
        far = view.distances().sort(dim=1).values
        honest = view.known.sum(axis=1)
        rank = honest + view.attackers - view.bounds - view.attackers + 1  # k counts the attackers as well
        place = np.clip(rank, 1, np.maximum(honest, 1)) - 1
        reach = far.gather(1, far.new_tensor(place).long()[:, None]) if far.shape[1] else far.new_zeros((view.v, 1))
        reach = reach.where(reach.isfinite(), 0.0)
        return view.models + (1.0 - self.slack) * reach * towards(view, self.direction)
