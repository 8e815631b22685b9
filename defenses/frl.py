"""FRL: federated rank learning, a majority vote over rankings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.aggregation.votes.contract import MaskTraining, RankAggregator
from robustfl.aggregation.votes.counting import Counts, stable_order


@dataclass(frozen=True, kw_only=True)
class FRL(RankAggregator):
    """FRL: clients rank the edges of a frozen random network, and the server adds up their positions.

    Formula: client u sends, for every layer, ``R_u``, its n edges from the least to the most important. With
    ``P_u[e]`` the place of edge e in ``R_u``, the server computes ``V[e] = sum_u P_u[e]``. The global ranking lists
    the edges in ascending order of V (ties: the lower edge comes first). Of every layer, the model keeps the share
    `keep` of the edges that rank highest, with their frozen weights. With ``sparse < 1``, clients name only their
    ``m = ceil(sparse n)`` most important edges, which have the places n - m, ..., n - 1; all other edges get place 0.

    Shapes: n_clients rankings of n edges -> one ranking [n], for every layer. Cost: one pass over the rankings and one
    sort of n sums per layer. Upload: n ceil(log2 n) bits per layer, which is 60 to 65 % of the float32 weights of
    common networks.

    Guarantee: a client moves the sum of an edge by at most n - 1, whatever it sends. Suppose that an honest client
    puts a useful edge into the upper half with probability p > 1/2, and that a share a < 1/2 of the U clients does the
    opposite. Then the majority for that edge fails with probability at most
    ``exp(-2 U (1 - 2a)^2 (p - 1/2)^2)``. Breakdown point: 1/2.

    The defense is a whole protocol: all parameters other than `sparse` say how its clients train.

    References
    ----------
    H. Mozaffari, V. Shejwalkar, A. Houmansadr. Every Vote Counts: Ranking-Based Training of Federated Learning to
    Resist Poisoning Attacks. USENIX Security 2023. Edge-popup: V. Ramanujan, M. Wortsman, A. Kembhavi, A. Farhadi,
    M. Rastegari. What's Hidden in a Randomly Weighted Neural Network? CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.defenses import FRL
    >>> rankings = np.array([[5, 1, 3, 2, 4, 0], [3, 5, 1, 0, 4, 2], [0, 4, 3, 5, 1, 2]])
    >>> FRL()(rankings).tolist()
    [3, 5, 1, 0, 4, 2]
    """

    name: ClassVar[str] = "frl"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "a client moves the vote on an edge of a layer by at most (edges - 1) while n >= 2f + 1"
    breakdown: ClassVar[str] = "1/2"
    unfit: ClassVar[str] = (
        "for models that have to start from weights of their own, or where real-valued updates are wanted: clients"
        " only rank the edges of a random network"
    )
    reference: ClassVar[str] = (
        "Mozaffari et al., Every Vote Counts: Ranking-Based Training of Federated Learning to Resist Poisoning "
        "Attacks, USENIX Security 2023"
    )

    learning_rate: Annotated[float, Gt(0), Doc("learning rate of the clients' SGD on the scores of the edges")] = 0.4
    decay: Annotated[float, Gt(0), Le(1), Doc("factor by which the learning rate shrinks after every round")] = 0.999
    momentum: Annotated[float, Ge(0), Lt(1), Doc("momentum of the clients' SGD")] = 0.9
    weight_decay: Annotated[float, Ge(0), Doc("weight decay of the clients' SGD: a pull of the scores to zero")] = 1e-4
    epochs: Annotated[
        int,
        Ge(0),
        Doc("number of parts of the local steps between which the learning rate falls; 0: it falls after every step"),
    ] = 0
    keep: Annotated[float, Gt(0), Le(1), Doc("share of the edges of each layer that the network keeps")] = 0.5
    criterion: Annotated[
        Literal["score", "abs"],
        Doc("whether the edges of highest score are kept, or those of largest absolute score"),
    ] = "score"
    sparse: Annotated[
        float, Gt(0), Le(1), Doc("share of the edges of each layer that a client names: its most important ones")
    ] = 1.0

    @property
    def training(self) -> MaskTraining:
        return MaskTraining(
            learning_rate=self.learning_rate,
            decay=self.decay,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            epochs=self.epochs,
            keep=self.keep,
            criterion=self.criterion,
        )

    def sent(self, edges: int) -> int:
        return max(1, math.ceil(self.sparse * edges - 1e-9))

    def elect(self, sums: Counts) -> Counts:
        return stable_order(sums)
