"""The attack on rankings that moves only the edges near the limit of selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.aggregation.votes.counting import Counts, stable_order
from robustfl.threats import CommonRankAttack, Knowledge, RankView
from robustfl.threats.rankings import Rankings

WIDTHS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The values of `width` that are tried against the defense when none is given."""


@dataclass(frozen=True, kw_only=True)
class BoundarySwap(CommonRankAttack):
    """Boundary swap: the edges right above and right below the limit of selection get the extreme positions.

    A reversed ranking wastes its highest and lowest positions on edges that honest clients agree on, where a minority
    changes nothing. This attack orders the edges of a layer by V, the sums of their positions in the known rankings;
    the last ones in this order are kept. Of the kept edges, the share `width` that is nearest to the limit moves to
    the bottom. Of the other edges, the share `width` that is nearest to the limit moves to the top. Within each of the
    two groups, and for all edges between them, the order stays as it was. When no `width` is given, several are tried
    against the defense. Each layer then uses the one by which the network loses most of the edges that it would have
    kept.

    Knowledge: the rankings that `estimate` names, and the defense when no `width` is given.

    References
    ----------
    The idea of attacking the edges near the limit of selection is that of Vulnerable Edge Manipulation, IEEE S&P 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import BoundarySwap
    >>> honest = [np.array([[0, 1, 2, 3, 4, 5, 6, 7]])]
    >>> BoundarySwap(width=0.5)(honest, f=1)[0].tolist()
    [[4, 5, 0, 1, 6, 7, 2, 3]]
    """

    reference: ClassVar[str] = "after Vulnerable Edge Manipulation, IEEE S&P 2025"
    unfit: ClassVar[str] = (
        'where honest rankings are not known: with `estimate="own"` the limit of selection is that of the '
        "malicious clients' own votes"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS | Knowledge.DEFENSE

    width: Annotated[
        float | None,
        Gt(0),
        Le(1),
        Doc("share of the edges on either side of the limit that moves; tried out when not given"),
    ] = None
    estimate: Annotated[Literal["own", "peers"], Doc("whose rankings tell where the limit is")] = "peers"

    def required_knowledge(self) -> Knowledge:
        rankings = Knowledge.OWN if self.estimate == "own" else Knowledge.PEERS
        return rankings if self.width is not None else rankings | Knowledge.DEFENSE

    def rankings(self, view: RankView) -> Sequence[Rankings]:
        orders = [stable_order(sums) for sums in view.support(self.estimate)]
        if self.width is not None:
            return self._swapped(view, orders, self.width)
        known = view.own if self.estimate == "own" else view.honest
        best: list[tuple[int, Rankings]] = [(-1, order) for order in orders]
        for width in WIDTHS:
            tried = self._swapped(view, orders, width)
            sent = [np.tile(one[-layer.shape[1] :], (view.f, 1)) for one, layer in zip(tried, known, strict=True)]
            voted = view.vote([np.concatenate(pair) for pair in zip(sent, known, strict=True)])
            for number, (order, after) in enumerate(zip(orders, voted, strict=True)):
                kept = view.kept(number)
                lost = kept - len(np.intersect1d(order[-kept:], after[-kept:], assume_unique=True))
                if lost > best[number][0]:
                    best[number] = lost, tried[number]
        return [ranking for _, ranking in best]

    def _swapped(self, view: RankView, orders: Sequence[Counts], width: float) -> list[Rankings]:
        swapped: list[Rankings] = []
        for number, order in enumerate(orders):
            low, high = np.split(order, [-view.kept(number)])
            down, up = round(width * len(high)), round(width * len(low))
            stays, rises = np.split(low, [len(low) - up])
            swapped.append(np.concatenate([high[:down], stays, high[down:], rises]))
        return swapped
