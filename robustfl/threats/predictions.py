"""Attacks on predictions: what malicious clients claim to believe of public samples.

Predictions are probabilities [m, C] of m samples, and rules see them as vectors [m C] less 1/C, see
:mod:`robustfl.aggregation.predictions`. An attack on updates crafts such vectors as well; malicious clients then send
the distributions that are nearest to them, as anything else would be refused. The attacks of this surface know that a
row consists of distributions.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from robustfl.threats.updates.contract import TiledAttack
from robustfl.threats.updates.view import View, Whose

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PredictionAttack(TiledAttack):
    """An attack whose malicious clients all claim to believe the same, unless they are told to differ a little."""

    surface: ClassVar[str] = "predictions"
    channels: ClassVar[tuple[str, ...] | None] = ("predictions",)

    @abstractmethod
    def claimed(self, view: View) -> Tensor:
        """The malicious probabilities: [m, C] of all malicious clients, or [f, m, C], one for each."""

    @final
    def vector(self, view: View) -> Tensor:
        return as_vectors(self.claimed(view))


def beliefs(view: View, of: Whose = "peers") -> Tensor:
    """The probabilities [k, m, C] that the honest (or the malicious clients' own) finite predictions consist of.

    Uniform ones, of one client, when no predictions are finite.
    """
    rows = view.finite(of)
    rows = rows if len(rows) else view.full(0.0)[None]
    return rows.reshape(len(rows), -1, view.classes) + 1.0 / view.classes


def as_vectors(probabilities: Tensor) -> Tensor:
    """Probabilities [..., m, C] as the vectors [..., m C] that attacks craft."""
    return (probabilities - 1.0 / probabilities.shape[-1]).flatten(-2)
