"""Letters that push a peer away from its honest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class Dissensus(PeerAttack):
    """Dissensus: malicious neighbours reverse the pull of a peer's honest neighbours.

    Formula: ``v_i = x_i - strength sum_j W_ij (x_j - x_i) / sum_k W_ik``, where j are the honest and k the malicious
    neighbours of peer i. A peer that averages then steps to ``x_i + (1 - strength) sum_j W_ij (x_j - x_i)``: it stays
    where it is at strength 1, and moves away from its neighbours beyond. Networks of peers that average diverge. See
    :func:`robustfl.threats.peers.gossip.dissensus` for one peer.

    Knowledge: the models of the victims' honest neighbours, and the gossip weights.

    References
    ----------
    L. He, S. P. Karimireddy, M. Jaggi. Byzantine-Robust Decentralized Learning via ClippedGossip. arXiv:2202.01545,
    2022.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Dissensus
    >>> Dissensus()(np.zeros(2), np.array([[1.0, 0.0], [0.0, 2.0]])).tolist()
    [-1.5, -3.0]
    """

    reference: ClassVar[str] = (
        "He et al., Byzantine-Robust Decentralized Learning via ClippedGossip, arXiv 2202.01545, 2022"
    )
    unfit: ClassVar[str] = (
        "as the only attack: it is computed against averages, and rules that keep the nearest letters may drop it, "
        "for which `echo` and `edge` are made"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.TOPOLOGY
    label_parameters: ClassVar[tuple[str, ...]] = ("strength",)

    strength: Annotated[float, Gt(0), Doc("push, in multiples of the pull of the honest neighbours")] = 1.5

    def craft(self, view: PeerView) -> Tensor:
        return view.models - self.strength * view.pull() / view.say[:, None]
