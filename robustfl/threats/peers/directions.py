"""Directions in which attacks on networks of peers push their victims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView

Towards = Literal["sign", "away"]
"""sign: towards the opposite of the mean of the victim's and its honest neighbours' models; away: away from it."""


def towards(view: PeerView, direction: Towards) -> Tensor:
    """The direction [v, d] for each victim, of length 1; zeros where it is not defined."""
    own, mean = view.models, view.mean()
    return unit(-mean - own if direction == "sign" else own - mean)


def unit(rows: Tensor) -> Tensor:
    """The rows [v, d] with length 1; a row of zeros stays as it is."""
    lengths = rows.norm(dim=1, keepdim=True)
    found: Tensor = rows / lengths.where(lengths > 0, 1.0)
    return found
