"""Letters that set the model of a peer that averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Lt
from typing_extensions import Doc

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class StateOverride(PeerAttack):
    """State override: a peer that averages gets exactly the model that its malicious neighbours want.

    Formula: ``v_i = x_i + (want - x_i - sum_j W_ij (x_j - x_i)) / sum_k W_ik``, where j are the honest and k the
    malicious neighbours of peer i, and ``want`` is `scale` times the model before the first round. Averaging gives
    ``want``, whatever the honest peers have learnt. What such a peer then sends is what it learnt from its own samples
    alone, which is why bounded mixing protects the privacy of peers as well.

    Knowledge: the models of the victims' honest neighbours, the gossip weights, and the first model.

    References
    ----------
    D. Pasquini, M. Raynal, C. Troncoso. On the (In)security of Peer-to-Peer Decentralized Machine Learning. IEEE S&P
    2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import StateOverride
    >>> own, around = np.zeros(2), np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> StateOverride()(own, around, initial=np.array([5.0, 5.0])).tolist()
    [19.0, 18.0]
    """

    reference: ClassVar[str] = (
        "Pasquini et al., On the (In)security of Peer-to-Peer Decentralized Machine Learning, IEEE S&P 2023"
    )
    unfit: ClassVar[str] = (
        "against rules that bound what a letter may do: it is computed for averages, and shows what these allow"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.TOPOLOGY | Knowledge.HISTORY

    scale: Annotated[float, Gt(-1e6), Lt(1e6), Doc("factor on the first model, which victims are to have")] = 1.0

    def craft(self, view: PeerView) -> Tensor:
        own = view.models
        missing = self.scale * view.initial - own - view.pull()
        return own + missing / view.say[:, None]
