"""Letters that drive the two sides of a network apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack
from robustfl.threats.peers.directions import unit

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class Spectral(PeerAttack):
    """Spectral heterogeneity: every peer is pushed towards the side of the network on which it is.

    Formula: ``v_i = x_i + amplitude r_i u_i``, where u_i is the direction of ``(f2^T X) f2[i]``, with length 1, r_i the
    distance of the farthest honest neighbour, f2 the Fiedler vector of the honest peers' graph and X their models. Of
    all directions this one is the slowest to die out by averaging. :class:`PeerWhiteBox` searches the amplitude.

    Knowledge: the models of all honest peers, and the graph.

    References
    ----------
    R. Gaucher, A. Dieuleveut, H. Hendrikx. Unified Breakdown Analysis for Byzantine Robust Gossip. ICML 2025.

    Examples
    --------
    >>> from robustfl.attacks import Spectral
    >>> print(Spectral(amplitude=2.0))
    Spectral(amplitude=2)
    """

    reference: ClassVar[str] = "Gaucher et al., Unified Breakdown Analysis for Byzantine Robust Gossip, ICML 2025"
    unfit: ClassVar[str] = (
        "in networks without a weak cut, where averaging is quick in every direction; or in place of "
        "`peer_white_box`, which also searches its length"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.TOPOLOGY
    label_parameters: ClassVar[tuple[str, ...]] = ("amplitude",)

    amplitude: Annotated[float, Gt(0), Doc("length of the push, in distances of the farthest honest neighbour")] = 1.0

    def craft(self, view: PeerView) -> Tensor:
        return view.models + self.amplitude * view.farthest()[:, None] * unit(view.across())
