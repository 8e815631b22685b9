"""The attack that reverses a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.aggregation.votes.counting import stable_order
from robustfl.threats import CommonRankAttack, Knowledge, RankView
from robustfl.threats.rankings import Rankings


@dataclass(frozen=True, kw_only=True)
class ReverseRanking(CommonRankAttack):
    """Reverse ranking: malicious clients agree on a ranking and send it in reverse order.

    Formula: V is the sum of the positions of each edge over the known rankings. All malicious clients send the edges
    in descending order of V.

    Knowledge: the malicious clients' own honest rankings, or all honest rankings with ``estimate="peers"``.

    References
    ----------
    H. Mozaffari, V. Shejwalkar, A. Houmansadr. Every Vote Counts: Ranking-Based Training of Federated Learning to
    Resist Poisoning Attacks. USENIX Security 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ReverseRanking
    >>> own = [np.array([[0, 1, 2, 3], [1, 0, 2, 3], [0, 2, 1, 3]])]
    >>> ReverseRanking()(own, f=3, own=own)[0].tolist()
    [[3, 2, 1, 0], [3, 2, 1, 0], [3, 2, 1, 0]]
    """

    reference: ClassVar[str] = "Mozaffari et al., Every Vote Counts, USENIX Security 2023"
    unfit: ClassVar[str] = (
        "as the only attack on votes: it wastes extreme positions on edges on which honest clients agree, and "
        "`boundary_swap` does not"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    estimate: Annotated[Literal["own", "peers"], Doc("whose rankings are reversed")] = "own"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.OWN if self.estimate == "own" else Knowledge.PEERS

    def rankings(self, view: RankView) -> Sequence[Rankings]:
        return [stable_order(-sums) for sums in view.support(self.estimate)]
