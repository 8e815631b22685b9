"""MeritRank on a server: the weight of a client comes from random walks over a graph of earned agreement."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import MEMORY
from robustfl.reputation import Decision, Visits, exact_visits, merit_scores
from robustfl.reputation.angles import cosines_and_lengths
from robustfl.reputation.identities import own_shares, recent

SHORTEST = 1e-6
"""When the mean of the directions is shorter than this, the directions cancel out and have no centre."""


@dataclass(frozen=True, kw_only=True)
class MeritRank(Aggregator):
    """MeritRank: a client's weight is the merit it has earned by agreeing with clients that have merit themselves.

    The nodes of the graph are the server and the clients, by id. Clients make no statements about each other, because a
    statement costs nothing and Sybils would make it. The server computes all feedback from the updates:

    * The edge server -> i grows by ``max(0, cos(x_i, z))`` in each round that client i takes part in. z is the mean of
      the directions ``x_j/||x_j||``, each with the weight that j has in this round. So a long update gains nothing, and
      clients without merit have almost no influence. (The geometric median of the directions would be drawn to any
      group that agrees closely, and honest clients seldom agree closely.)
    * The edge i -> j grows by ``max(0, cos(x_i, x_j))`` in each round that both take part in. To support j, client i
      has to send an update like j's; to get support from an honest i, client j has to send an update like i's. These
      edges give merit to clients that agree with trusted clients though not with the centre, which happens when the
      data of the clients differ.

    In each of those rounds, the old value of the edge is first multiplied by `fading`. Cosines of `agreement` or less
    count as 0.

    Formula: ``w_i = (1 - exploration) s_i + exploration/n``, at most ``cap/n``, times ``min(1, R/||x_i||)``. The
    shares s sum to 1 and are in proportion to the :func:`~robustfl.reputation.merit_scores` of the clients that are
    present, computed from the edges of *earlier* rounds. Weight that `cap` cuts off goes to the other clients in
    proportion. R is the median norm under w. A client that is new, or that never agreed with anybody, has no score. In
    a round in which no client has a score (such as the first one), the cosines of this round with the centre take the
    place of scores; if none of them exceeds `agreement`, all weights are equal.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and (m + 1)^3 after it for m remembered clients. Memory: the state
    (`clients`, `edges`) takes O(m^2), independent of d. Nothing is drawn at random: the probabilities of visits are
    computed exactly. The rows have to be the clients' own, not mixtures.

    Guarantee: no row contributes more than ``cap R/n`` in length. While any client has a score, all clients without one
    have together at most the weight `exploration`. Suppose that an adversary's identities A get agreement from the
    server or from an honest client, and that its other identities get agreement only from each other and from A. Then
    these others have together at most ``(1 - stop)/stop`` times the hits of A, whatever their number, and half of that
    behind a single attacker (with the default `decay`). Merit belongs to an identity: k Sybils that each send honest
    work for some time earn as much as k honest clients, and may spend it in an attack afterwards; `fading` says for how
    long. The centre z has a positive inner product with the mean h of the honest directions while the honest weight
    times ``||h||`` exceeds the weight of the others: the more alike honest clients are, the larger is the minority that
    they can bear. In the first round all weights are equal.

    References
    ----------
    B. Nasrulin, G. Ishmaev, J. Pouwelse. MeritRank: Sybil Tolerant Reputation for Merit-based Tokenomics. BRAINS 2022.

    Examples
    --------
    >>> from robustfl.defenses import MeritRank
    >>> rule = MeritRank()
    >>> honest = {"anna": [1.0, 0.1], "boris": [1.0, -0.1]}
    >>> for _ in range(3):
    ...     answer = rule.aggregate({**honest, "mallory": [-9.0, 0.0]})
    >>> {decision.client: (decision.action, round(decision.score, 2)) for decision in answer.info["decisions"]}
    {'anna': ('weighted', 0.5), 'boris': ('weighted', 0.5), 'mallory': ('explored', 0.0)}
    >>> answer.weights.round(3).tolist()
    [0.492, 0.492, 0.002]
    """

    family: ClassVar[str] = "reputation"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "Sybils gain at most (1 - stop)/stop times what the working ones among them earned"
    breakdown: ClassVar[str] = "< 1/2 of the earned weight (at first, of the rows); less where honest updates differ"
    unfit: ClassVar[str] = (
        "where clients come and go under new names, as merit has to be earned again; or where honest updates are "
        "nearly orthogonal, as nobody then agrees with anybody"
    )
    no_sensitivity: ClassVar[str] = MEMORY
    reference: ClassVar[str] = (
        "Nasrulin et al., MeritRank: Sybil Tolerant Reputation for Merit-based Tokenomics, BRAINS 2022"
    )
    state_keys: ClassVar[tuple[str, ...]] = ("clients", "edges")

    stop: Annotated[
        float, Gt(0), Lt(1), Doc("transitivity decay: probability that a random walk stops before each step")
    ] = 0.5
    decay: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("connectivity decay: share of its score that a client loses when it is reached through one other client"),
    ] = 0.5
    threshold: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("`decay` applies to a client when more than this share of the walks to it passes through one other client"),
    ] = 0.95
    fading: Annotated[
        float, Ge(0), Le(1), Doc("epoch decay: share of an edge's value that is left one round later")
    ] = 0.95
    agreement: Annotated[
        float, Ge(0), Lt(1), Doc("two updates agree when their cosine is greater than this; smaller cosines count as 0")
    ] = 0.0
    exploration: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("share of the total weight that all clients get in equal parts, whatever their scores"),
    ] = 0.05
    cap: Annotated[float, Ge(1), Doc("largest weight of a client, in multiples of the equal share 1/n")] = 3.0
    remembered: Annotated[
        int, Ge(1), Doc("number of clients whose edges are kept; clients that were absent longest are forgotten first")
    ] = 1000

    @property
    def unclaimed(self) -> frozenset[str]:
        return frozenset({"translation", "centring", "box"})

    def _aggregate(self, rows: Rows) -> Outcome:
        own_shares(rows, self)  # this raises an error for mixtures
        ids = rows.source.ids
        clients = recent(self._state.get("clients", ()), ids, self.remembered)
        edges = self._carried(clients)
        number = {client: place for place, client in enumerate(clients, start=1)}
        here = np.array([number[client] for client in ids])
        cosines, norms = cosines_and_lengths(rows.gram, np.eye(rows.n))
        cosines[norms == 0] = 0.0  # a row of zeros agrees with nobody, itself included

        visits = exact_visits(edges, 0, self.stop)
        scores = merit_scores(visits, 0, decay=self.decay, threshold=self.threshold)[here]
        mass = self._weights(scores)
        towards = agreement_with_centre(cosines, mass)
        if not scores.any():
            scores = np.where(towards > self.agreement, towards, 0.0)
        weights = self._weights(scores)
        radius = weighted_median(norms, mass)
        weights *= np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius)
        state = {"clients": clients, "edges": self._fed_back(edges, here, towards, cosines)}
        decisions = self._decisions(ids, weights, scores, towards, visits, here)
        return Outcome(rows.combine(weights), rows.source_weights(weights), {"decisions": decisions}, state)

    def _carried(self, clients: tuple[Hashable, ...]) -> Floats:
        """The edges [m + 1, m + 1] of earlier rounds; the server is node 0 and the clients follow in order."""
        known = {client: place for place, client in enumerate(self._state.get("clients", ()), start=1)}
        edges = np.zeros((len(clients) + 1, len(clients) + 1))
        kept = [0, *(place for place, client in enumerate(clients, start=1) if client in known)]
        old = [0, *(known[client] for client in clients if client in known)]
        if known:
            edges[np.ix_(kept, kept)] = self._state["edges"][np.ix_(old, old)]
        return edges

    def _weights(self, scores: Floats) -> Floats:
        """Weights [n] of the rows; they sum to less than 1 when so few clients have a score that the cap limits all."""
        n = len(scores)
        if not scores.any():
            return np.full(n, 1.0 / n)
        spread = self.exploration / n
        return capped((1.0 - self.exploration) * scores / scores.sum(), self.cap / n - spread) + spread

    def _fed_back(self, edges: Floats, here: np.ndarray, towards: Floats, cosines: Floats) -> Floats:
        """The edges after this round's feedback."""
        mutual = np.where(cosines > self.agreement, cosines, 0.0)
        np.fill_diagonal(mutual, 0.0)
        after = edges.copy()
        after[0, here] = self.fading * edges[0, here] + np.where(towards > self.agreement, towards, 0.0)
        after[np.ix_(here, here)] = self.fading * edges[np.ix_(here, here)] + mutual
        return after

    def _decisions(
        self,
        ids: tuple[Hashable, ...],
        weights: Floats,
        scores: Floats,
        towards: Floats,
        visits: Visits,
        here: np.ndarray,
    ) -> tuple[Decision, ...]:
        decisions = []
        for row, client in enumerate(ids):
            action = "excluded" if weights[row] == 0 else "weighted" if scores[row] > 0 else "explored"
            evidence = {
                "weight": float(weights[row]),
                "cosine_to_centre": float(towards[row]),
                "bottleneck": float(visits.bottleneck[here[row]]),
            }
            decisions.append(Decision(client, action, float(scores[row]), evidence))
        return tuple(decisions)


def agreement_with_centre(cosines: Floats, mass: Floats) -> Floats:
    """Cosines [n] of all rows with the mean of their directions, weighted by `mass` [n]."""
    inner = cosines @ mass
    length = np.sqrt(max(float(mass @ inner), 0.0)) / mass.sum()
    centre: Floats = np.clip(inner / (length * mass.sum()), -1.0, 1.0) if length > SHORTEST else np.zeros(len(mass))
    return centre


def capped(shares: Floats, most: float) -> Floats:
    """The shares with none larger than `most`: what is cut off goes to the others in proportion, as far as they can."""
    result, free = shares.copy(), shares > 0
    while (over := free & (result > most)).any():
        result[over], free = most, free & ~over
        rest = shares.sum() - result[~free].sum()
        if result[free].sum() > 0:
            result[free] *= rest / result[free].sum()
    return result


def weighted_median(values: Floats, mass: Floats) -> float:
    """The lower median of the values, each weighted by its `mass`."""
    order = np.argsort(values, kind="stable")
    running = np.cumsum(mass[order])
    middle = np.argmax(running >= (0.5 - 1e-9) * running[-1])  # a sum of equal parts may miss one half by rounding
    return float(values[order][middle])
