"""MeritRank: reputation from random walks over feedback, of which many identities gain only a bounded amount."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import ParameterError, did_you_mean
from robustfl.reputation.visits import Visits, exact_visits, walked_visits

STOP, DECAY, THRESHOLD = 0.15, 0.5, 0.95


def merit_scores(visits: Visits, ego: int, *, decay: float = DECAY, threshold: float = THRESHOLD) -> Floats:
    """Scores [n] from visits: the share of hits, less where everything comes through one node.

    ``score_v = h_v / sum_{u != ego} h_u``, times ``1 - decay`` where the bottleneck ``b_v > threshold``; 0 for the ego.
    What the decay takes is not given to others, so scores sum to at most 1.

    An adversary whose identities get feedback from outside only through some of them, the attackers A, gains with all
    the others together at most ``(1 - stop)/stop`` times the hits of A, however many there are: after a walk has
    reached A it takes that many more steps on average. Behind a single attacker, `decay` is taken off that.

    Parameters
    ----------
    visits : from :func:`exact_visits` or :func:`walked_visits`
    ego : the node whose view this is
    decay : connectivity decay, in [0, 1]
    threshold : bottleneck beyond which it counts, in [0, 1]
    """
    for name, value in (("decay", decay), ("threshold", threshold)):
        if not 0 <= value <= 1:
            raise ParameterError(f"`{name}` should satisfy 0 <= {name} <= 1. Found {name}={value}.")
    hits = visits.hits.copy()
    hits[ego] = 0.0
    total = hits.sum()
    return np.where(visits.bottleneck > threshold, 1.0 - decay, 1.0) * hits / (total if total > 0 else 1.0)


class FeedbackGraph:
    """Who gave whom positive feedback, and what follows for a node that asks whom to trust.

    Scores are computed anew from the whole graph in every call; for the sizes that fit (n^2 numbers) that takes less
    than keeping walks up to date. Negative feedback is not part of the method: give none, and let old feedback fade.

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
        """The nodes, in the order of their appearance."""
        return tuple(self._places)

    @property
    def edges(self) -> Floats:
        """A copy of the feedback [n, n] of row about column."""
        return self._edges[: len(self._places), : len(self._places)].copy()

    def rate(self, rater: Hashable, rated: Hashable, feedback: float) -> None:
        """Add feedback >= 0 of one node about another; nodes appear when they are first named."""
        if not (np.isfinite(feedback) and feedback >= 0):
            raise ParameterError(f"`feedback` should be finite and >= 0. Found {feedback}.")
        if rater == rated:
            raise ParameterError(f"Nobody rates itself: leave the feedback of {rater!r} about itself out.")
        place = self._place(rater), self._place(rated)  # both before the edges are looked up: they may move
        self._edges[place] += feedback

    def fade(self, factor: float) -> None:
        """Epoch decay: multiply all feedback so far by a factor in [0, 1].

        It makes newcomers catch up, traitors fall faster, and honest work count for less; use it with care.
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
        """The scores of all nodes but the ego, in its eyes.

        Parameters
        ----------
        ego : the node that asks
        stop : transitivity decay, the probability that a walk stops before a step; libraries that call 0.85 the decay
            mean 1 - stop
        decay, threshold : connectivity decay; see :func:`merit_scores`
        walks, rng : number of random walks and their generator; None computes the probabilities exactly, in O(n^3)
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
        if place >= len(self._edges):  # room for twice as many: adding n nodes one by one copies O(n^2) numbers
            room = np.zeros((2 * place + 4,) * 2)
            room[: len(self._edges), : len(self._edges)] = self._edges
            self._edges = room
        return place
