"""A search through the victims' own mixing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack
from robustfl.threats.peers.directions import towards, unit

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView

NEAREST, FARTHEST = 0.1, 20.0
"""The ends of the grid of amplitudes, in distances of the farthest honest neighbour."""


@dataclass(frozen=True, kw_only=True)
class PeerWhiteBox(PeerAttack):
    """White-box search among peers: for every victim the distance, along one direction, that harms most.

    Formula: ``v_i = x_i + alpha_i r_i u_i``, where r_i is the distance of the farthest honest neighbour, and alpha_i,
    of a geometric grid from 0.1 to 20, maximises ``||MIX_i(v_i) - m_i||``. MIX_i is the victim's own rule, and m_i the
    mean of its own and its honest neighbours' models. The directions are those of :class:`Edge` and :class:`Spectral`.
    Distance is not damage: the directions are attacks of their own, since the one that moves most is not always the one
    that harms most.

    Knowledge: the models of all honest peers, and the defense; for ``spectral`` also the graph.

    Cost: one mixing of all victims for each amplitude.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import PeerWhiteBox
    >>> own, around = np.zeros(2), np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> averaging = lambda letter: (own + around.sum(axis=0) + letter) / 4
    >>> PeerWhiteBox()(own, around, mix=averaging).round(2).tolist()
    [-17.89, -35.78]
    """

    unfit: ClassVar[str] = (
        "as proof of the worst case: it searches distances along one direction, and what moves a peer most does "
        "not always harm most"
    )

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.TOPOLOGY | Knowledge.DEFENSE
    label_parameters: ClassVar[tuple[str, ...]] = ("direction",)

    direction: Annotated[
        Literal["sign", "away", "spectral"], Doc("where the letters lie, seen from their receiver")
    ] = "sign"
    amplitudes: Annotated[int, Ge(2), Doc("number of amplitudes that are tried")] = 16

    def required_knowledge(self) -> Knowledge:
        known = Knowledge.PEERS | Knowledge.DEFENSE
        return known | Knowledge.TOPOLOGY if self.direction == "spectral" else known

    def craft(self, view: PeerView) -> Tensor:
        own, mean = view.models, view.mean()
        push = unit(view.across()) if self.direction == "spectral" else towards(view, self.direction)
        push = view.farthest()[:, None] * push
        best, most = own.clone(), own.new_full((view.v,), -1.0)
        for amplitude in np.geomspace(NEAREST, FARTHEST, self.amplitudes).tolist():
            letters = own + amplitude * push
            harm = (view.mix(letters) - mean).norm(dim=1)
            better = harm > most  # never true for what is no number
            best[better], most[better] = letters[better], harm[better]
        return best
