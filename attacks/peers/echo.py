"""Letters that hold what the receiver sent itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class Echo(PeerAttack):
    """Echo: malicious neighbours send every peer its own model.

    Formula: ``v_i = x_i``. A rule that keeps the letters nearest to the own model always keeps an echo, which then
    takes the place of an honest letter that is farther away. The peer learns less from others, and nothing looks wrong.

    Knowledge: the victims' models, which their neighbours get in any case.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Echo
    >>> Echo()(np.array([1.0, 2.0]), np.array([[3.0, 4.0]])).tolist()
    [1.0, 2.0]
    """

    unfit: ClassVar[str] = "against averages, in which it does no more than keep weight on the own model"

    knowledge: ClassVar[Knowledge] = Knowledge.NEIGHBOURS

    def craft(self, view: PeerView) -> Tensor:
        return view.models.clone()
