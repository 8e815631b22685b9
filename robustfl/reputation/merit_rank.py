"""MeritRank: reputation from random walks over feedback, where many identities gain only a bounded amount."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import ParameterError, did_you_mean
from robustfl.reputation.visits import Visits, exact_visits, walked_visits

STOP, DECAY, THRESHOLD = 0.15, 0.5, 0.95


def merit_scores(visits: Visits, ego: int, *, decay: float = DECAY, threshold: float = THRESHOLD) -> Floats:
    """Scores [n] from visits: a node's share of all hits, reduced if almost all walks to it pass one other node.

    ``score_v = h_v / sum_{u != ego} h_u``, times ``1 - decay`` where the bottleneck ``b_v > threshold``; 0 for the ego.
    The score that the decay takes away is not given to others, so scores sum to at most 1.

    Suppose that only some of an adversary's identities, the attackers A, get feedback from outside. Then all its other
    identities together gain at most ``(1 - stop)/stop`` times the hits of A, however many they are, because a walk that
    has reached A takes that many more steps on average. Behind a single attacker, this gain is multiplied by
    ``1 - decay``.

    Parameters
    ----------
    visits : from :func:`exact_visits` or :func:`walked_visits`
    ego : the node from whose view the scores are computed
    decay : connectivity decay, in [0, 1]
    threshold : the decay applies to nodes whose bottleneck is greater than this, in [0, 1]
    """
    for name, value in (("decay", decay), ("threshold", threshold)):
        if not 0 <= value <= 1:
            raise ParameterError(f"`{name}` should satisfy 0 <= {name} <= 1. Found {name}={value}.")
    hits = visits.hits.copy()
    hits[ego] = 0.0
    total = hits.sum()
    return np.where(visits.bottleneck > threshold, 1.0 - decay, 1.0) * hits / (total if total > 0 else 1.0)


class FeedbackGraph:
    """A graph of positive feedback between nodes, and the trust scores that follow for the node that asks.

    Every call computes the scores anew from the whole graph. For the sizes that fit into memory (n^2 numbers) this
    takes less time than keeping walks up to date. The method has no negative feedback: give none, and let old feedback
    fade.

    References
    ----------
    B. Nasrulin, G. Ishmaev, J. Pouwelse. MeritRank: Sybil Tolerant Reputation for Merit-based Tokenomics. BRAINS 2022.

    Examples
    --------
    >>> graph = FeedbackGraph()
    >>> graph.rate("me", "anna", 3.0)
    >>> graph.rate("me", "mallory", 1.0)
    >>> for number in range(50):
    ...     graph.rate("mallory", f"sybil {number}", 1.0)
    ...     graph.rate(f"sybil {number}", "mallory", 1.0)
    >>> scores = graph.scores("me", stop=0.5)
    >>> round(scores["anna"], 2), round(scores["mallory"], 2), round(sum(scores.values()) - scores["anna"], 2)
    (0.64, 0.21, 0.29)
    """

    def __init__(self, nodes: Iterable[Hashable] = (), edges: Floats | None = None) -> None:
        self._places = {node: place for place, node in enumerate(nodes)}
        n = len(self._places)
        self._edges = np.zeros((n, n)) if edges is None else np.array(edges, dtype=np.float64)
        if self._edges.shape != (n, n):
            raise ParameterError(f"`edges` should be [{n}, {n}]. Found shape {list(self._edges.shape)}.")

    @property
    def nodes(self) -> tuple[Hashable, ...]:
        """The nodes, in the order in which they were first named."""
        return tuple(self._places)

    @property
    def edges(self) -> Floats:
        """A copy of the feedback [n, n] of the row node about the column node."""
        return self._edges[: len(self._places), : len(self._places)].copy()

    def rate(self, rater: Hashable, rated: Hashable, feedback: float) -> None:
        """Add feedback >= 0 of one node about another; a node joins the graph when it is first named."""
        if not (np.isfinite(feedback) and feedback >= 0):
            raise ParameterError(f"`feedback` should be finite and >= 0. Found {feedback}.")
        if rater == rated:
            raise ParameterError(f"Nobody rates itself: leave the feedback of {rater!r} about itself out.")
        place = self._place(rater), self._place(rated)  # both first, because they may replace the edges
        self._edges[place] += feedback

    def fade(self, factor: float) -> None:
        """Epoch decay: multiply all feedback so far by a factor in [0, 1].

        Newcomers then catch up faster, and traitors lose their score faster, but honest work counts for less. Use it
        with care.
        """
        if not 0 <= factor <= 1:
            raise ParameterError(f"`factor` should satisfy 0 <= factor <= 1. Found factor={factor}.")
        self._edges *= factor

    def scores(
        self,
        ego: Hashable,
        *,
        stop: float = STOP,
        decay: float = DECAY,
        threshold: float = THRESHOLD,
        walks: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> dict[Hashable, float]:
        """The scores of all other nodes from the view of the ego.

        Parameters
        ----------
        ego : the node that asks
        stop : transitivity decay, the probability that a walk stops before each step; libraries with a decay of 0.85
            mean 1 - stop
        decay, threshold : connectivity decay; see :func:`merit_scores`
        walks, rng : number of random walks and their generator; with None the probabilities are computed exactly, in
            O(n^3)
        """
        if ego not in self._places:
            known = (str(node) for node in self._places)
            raise ParameterError(f"`ego` should be a node. Found {ego!r}. {did_you_mean(str(ego), known)}".rstrip())
        place, edges = self._places[ego], self.edges
        if walks is None:
            visits = exact_visits(edges, place, stop)
        elif rng is None:
            raise ParameterError("Random walks need a generator: rng=numpy.random.default_rng(seed).")
        else:
            visits = walked_visits(edges, place, stop, walks, rng)
        scores = merit_scores(visits, place, decay=decay, threshold=threshold)
        return {node: float(scores[at]) for node, at in self._places.items() if at != place}

    def _place(self, node: Hashable) -> int:
        place = self._places.setdefault(node, len(self._places))
        if place >= len(self._edges):  # doubling: adding n nodes one by one copies O(n^2) numbers in all
            room = np.zeros((2 * place + 4,) * 2)
            room[: len(self._edges), : len(self._edges)] = self._edges
            self._edges = room
        return place
