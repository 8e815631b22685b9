"""MeritRank among neighbours: those whose letters have stood near others' for long weigh more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing
from robustfl.reputation import Decision, exact_visits, merit_scores
from robustfl.reputation.identities import recent

SMALLEST = 1e-9
"""Feedback that has faded below this is forgotten."""


@dataclass(frozen=True, kw_only=True)
class PeerMeritRank(Mixer):
    """MeritRank of peers: gossip whose weights follow from random walks over a graph of who stood near whom.

    Every peer i keeps such a graph for itself, of itself and its neighbours. Nobody says anything about anybody, since
    words cost nothing and Sybils would say them: i computes all feedback from letters.

    * A letter survives when it is one of the k - b nearest to the own model, of k letters. The edge i -> j grows by 1
      in each round in which the letter of j survives.
    * The edge j -> l grows by 1 in each round in which the letter of l would survive at j, if j had only heard the
      other letters of i's neighbourhood: when it is one of the k - 1 - b nearest to the letter of j.

    Before that, the old edges from everybody whose letter came are multiplied by `fading`. Walks begin at i, stop
    before each step with probability `stop`, and go on in proportion to the edges.

    Formula: ``x_i <- x_i + sum_j v_j (x_j - x_i)`` over the letters that survive now, with ``v_j = (1 - w_ii) min(p_j,
    cap/k)`` and ``p = (1 - exploration) s + exploration/(number that survive)``. The shares s sum to 1 and are in
    proportion to the :func:`~robustfl.reputation.merit_scores` of those that survive. What `cap` takes away goes to the
    own model.

    Shapes: [N, d] letters -> [n, d]. Cost: n k^2 d/2 for the distances between k letters a peer, n K^3 for the walks
    over K remembered neighbours, and n k d for the sums. Memory: K^2 numbers a peer, independent of d.

    Guarantee: no neighbour weighs more than ``cap/k`` of what all neighbours together have in gossip, and none whose
    letter is farther than the k - b nearest weighs anything. Suppose that a peer's own test is passed by the
    identities A of an adversary, and not by its others: then the merit of all others together is at most ``(1 -
    stop)/stop`` times the hits of A, however many they are, and half of that behind a single one (with the default
    `decay`). Walks that A leads to its own Sybils do not come to honest neighbours, whose merit is smaller for that;
    the cap bounds what A gets by it. Merit belongs to an identity and can be earned by honest letters; `fading` says
    how long it lasts.
    Breakdown point: not known; with more than b malicious neighbours near the own model, those earn merit like others.

    References
    ----------
    B. Nasrulin, G. Ishmaev, J. Pouwelse. MeritRank: Sybil Tolerant Reputation for Merit-based Tokenomics. BRAINS 2022.
    Its use as the weights of gossip is this project's.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import PeerMeritRank
    >>> letters = Letters(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [10.0, 10.0]]))
    >>> around_0 = Hoods(index=[[0, 1, 2, 3, 4]], weights=np.full((1, 5), 0.2), bounds=[1])
    >>> PeerMeritRank().mix(letters, around_0).models.round(6).tolist()
    [[0.533333, 0.533333]]
    """

    family: ClassVar[str] = "peers, geometric"
    by_columns: ClassVar[bool] = True
    label: ClassVar[str] = "MeritRank (peers)"
    guarantee: ClassVar[str] = "no neighbour weighs more than cap/k of the gossip weight of all neighbours"
    breakdown: ClassVar[str] = "not known"
    unfit: ClassVar[str] = (
        "where neighbours are new in every round, as nobody then has any merit; or where honest models are far apart, "
        "as whoever repeats a peer's own model earns most"
    )
    reference: ClassVar[str] = (
        "Nasrulin et al., MeritRank: Sybil Tolerant Reputation for Merit-based Tokenomics, BRAINS 2022"
    )
    state_keys: ClassVar[tuple[str, ...]] = ("known", "edges")

    stop: Annotated[
        float, Gt(0), Lt(1), Doc("transitivity decay: probability that a random walk stops before each step")
    ] = 0.15
    decay: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("connectivity decay: share of its score that a neighbour loses when it is reached through one other"),
    ] = 0.5
    threshold: Annotated[
        float, Ge(0), Le(1), Doc("`decay` applies when more than this share of the walks passes through one other")
    ] = 0.95
    fading: Annotated[
        float, Ge(0), Le(1), Doc("epoch decay: share of an edge's value that is left one letter later")
    ] = 0.95
    exploration: Annotated[
        float, Ge(0), Le(1), Doc("share of the neighbours' weight that all surviving letters get in equal parts")
    ] = 0.05
    cap: Annotated[
        float, Ge(1), Lt(float("inf")), Doc("largest weight of a neighbour, in multiples of an equal share 1/k")
    ] = 3.0
    remembered: Annotated[
        int, Ge(1), Doc("number of neighbours whose edges a peer keeps, at least those that it hears")
    ] = 100

    def _mix(self, gathering: Gathering) -> Mixing:
        known, edges = dict(self._state.get("known", {})), dict(self._state.get("edges", {}))
        shares: list[Floats] = []
        decisions: dict[int, tuple[Decision, ...]] = {}
        for number, group in enumerate(gathering.groups):
            squares = gathering.squared_pairs(number)
            made = np.zeros(group.index.shape)
            for place, line in enumerate(group.lines.tolist()):
                peer, heard = int(group.senders[place, 0]), tuple(group.senders[place, 1:].tolist())
                near = _near(squares[place], group.b)
                ids, graph = self._remember(known.get(peer, ()), edges.get(peer), heard, near)
                known[peer], edges[peer] = ids, graph
                scores = self._scores(graph, [1 + ids.index(one) for one in heard])
                made[place] = self._weights(scores, near[0, 1:], float(group.weights[place, 0]))
                decisions[line] = tuple(
                    Decision(one, "weighted" if weight > 0 else "excluded", float(score), {"weight": float(weight)})
                    for one, score, weight in zip(heard, scores, made[place, 1:], strict=True)
                )
            shares.append(made)
        return Mixing(shares, info={"decisions": decisions}, state={"known": known, "edges": edges})

    def _remember(
        self, known: tuple[int, ...], old: Floats | None, heard: tuple[int, ...], near: NDArray[np.bool_]
    ) -> tuple[tuple[int, ...], Floats]:
        """The neighbours that a peer knows after these letters, and its graph [K + 1, K + 1]; it is node 0 itself."""
        kept = (
            known if old is None else tuple(one for at, one in enumerate(known, 1) if old[:, at].any() or old[at].any())
        )
        ids: tuple[Any, ...] = recent(kept, heard, max(self.remembered, len(heard)))
        graph = np.zeros((len(ids) + 1, len(ids) + 1))
        if old is not None:
            both = [one for one in ids if one in known]
            now, before = [0, *(1 + ids.index(one) for one in both)], [0, *(1 + known.index(one) for one in both)]
            graph[np.ix_(now, now)] = old[np.ix_(before, before)]
        here = [0, *(1 + ids.index(one) for one in heard)]
        graph[here] *= self.fading
        graph[np.ix_(here, here)] += near
        graph[graph < SMALLEST] = 0.0
        return ids, graph

    def _scores(self, graph: Floats, here: list[int]) -> Floats:
        """The merit [k] of the neighbours that were heard."""
        visits = exact_visits(graph, 0, self.stop)
        return merit_scores(visits, 0, decay=self.decay, threshold=self.threshold)[here]

    def _weights(self, scores: Floats, survives: NDArray[np.bool_], own: float) -> Floats:
        """The shares [k + 1] of the letters, the own one first."""
        merit = np.where(survives, scores, 0.0)
        parts = survives / max(int(survives.sum()), 1)
        if merit.any():
            parts = (1.0 - self.exploration) * merit / merit.sum() + self.exploration * parts
        shares = (1.0 - own) * np.minimum(parts, self.cap / len(scores))
        return np.concatenate([[1.0 - shares.sum()], shares])


def _near(squares: Floats, b: int) -> NDArray[np.bool_]:
    """Which letters survive at which, [m, m]: for each, all others but the own model and the b farthest.

    `squares` [m, m] are squared distances, the own model in front; it is nobody's neighbour here. Ties go to the lower
    place.
    """
    m = len(squares)
    near = np.zeros((m, m), dtype=np.bool_)
    for at in range(m):
        others = np.array([one for one in range(1, m) if one != at], dtype=np.int64)
        order = np.argsort(squares[at, others], kind="stable")
        near[at, others[order[: max(len(others) - b, 0)]]] = True
    return near
