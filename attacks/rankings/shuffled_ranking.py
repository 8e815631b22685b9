"""The attack that sends random rankings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.threats import Knowledge, RankAttack, RankView
from robustfl.threats.rankings import Layers


@dataclass(frozen=True, kw_only=True)
class ShuffledRanking(RankAttack):
    """Shuffled ranking: each malicious client sends its edges in a random order, drawn anew in every round.

    Formula: ``R_i`` is uniform over the permutations of each layer. The attack shows the harm that clients do when
    they know nothing.

    Knowledge: nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ShuffledRanking
    >>> ShuffledRanking()([np.array([[0, 1, 2, 3]])], f=2)[0].tolist()
    [[2, 0, 1, 3], [3, 2, 1, 0]]
    """

    unfit: ClassVar[str] = "as evidence of robustness: it shows the harm that clients do when they know nothing"

    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    def craft(self, view: RankView) -> Layers:
        return [
            np.stack([view.rng.permutation(edges)[-sent:] for _ in range(view.f)])
            for edges, sent in zip(view.edges, view.sent, strict=True)
        ]
