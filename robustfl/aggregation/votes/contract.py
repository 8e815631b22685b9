"""Defenses whose clients send rankings in place of numbers: what they promise, and how their clients train.

A ranking bounds the influence of a client: whatever it sends, each edge of the network gets a position from 0 to n - 1,
and every position occurs once. A ranking that is not a permutation would break this and is refused.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from robustfl.aggregation.defense import Aggregation, Defense
from robustfl.aggregation.hostile import Hostile, judge, require_policy
from robustfl.aggregation.updates.ids import exceeded
from robustfl.aggregation.votes.ballots import Ballots, read_ballots
from robustfl.aggregation.votes.coding import Coding, ranking_bytes
from robustfl.aggregation.votes.counting import MOST_ENTRIES, Counts, sum_positions
from robustfl.errors import InfeasibleError, ParameterError

Criterion = Literal["score", "abs"]
"""What decides which edges of a layer are kept: the highest scores, or the scores of largest magnitude."""


@dataclass(frozen=True, kw_only=True)
class MaskTraining:
    """How clients learn which edges of a network with frozen weights to keep; `keep` is the share that is kept.

    Clients use SGD on the scores of the edges with `momentum` and `weight_decay`. The learning rate of a round starts
    at ``learning_rate * decay**round`` and falls along a cosine in `epochs` equal parts of the local steps (0: it
    falls after every step).
    """

    learning_rate: float
    decay: float
    momentum: float
    weight_decay: float
    epochs: int
    keep: float
    criterion: Criterion


@dataclass(frozen=True, kw_only=True)
class RankAggregator(Defense):
    """Rankings -> one ranking: for every layer of the network, its edges from the least to the most important.

    Authors write :meth:`elect`, which works on rankings that are known to be permutations. Clients have equal votes,
    and nothing is remembered from one call to the next.
    """

    channel: ClassVar[str] = "rankings"
    family: ClassVar[str] = "ranking"
    no_sensitivity: ClassVar[str] = "clients send rankings, which have no length that could be clipped"

    @property
    @abstractmethod
    def training(self) -> MaskTraining:
        """How the clients of this defense train."""

    def sent(self, edges: int) -> int:
        """The number of edges that a client names in a layer with `edges` edges; it names the most important ones."""
        return edges

    @abstractmethod
    def elect(self, sums: Counts) -> Counts:
        """The global ranking [n_l] of a layer from the sums [n_l] of the positions of its edges."""

    def upload_bytes(self, edges: Sequence[int], coding: Coding = "plain") -> float:
        """The bytes that a client sends in a round for layers with these numbers of `edges`."""
        return ranking_bytes([(self.sent(count), count) for count in edges], coding)

    def download_bytes(self, edges: Sequence[int], coding: Coding = "plain") -> float:
        """The bytes that a client gets in a round for layers with these numbers of `edges`: a full ranking."""
        return ranking_bytes([(count, count) for count in edges], coding)

    def __rrshift__(self, before: Any) -> Any:
        raise ParameterError(f"{before!r} changes updates and cannot stand before {self!r}, which is sent rankings.")

    @final
    def __call__(
        self,
        rankings: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        edges: Sequence[int] | None = None,
        hostile: Hostile = "reject",
    ) -> Any:
        """The global ranking of every layer; :meth:`aggregate` returns the full answer."""
        return self.aggregate(rankings, ids=ids, edges=edges, hostile=hostile).value

    @final
    def aggregate(
        self,
        rankings: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        edges: Sequence[int] | None = None,
        hostile: Hostile = "reject",
    ) -> Aggregation:
        """Count the votes, and return the ranking with the rejected rows and other information.

        Parameters
        ----------
        rankings : for each client a list with one integer array per layer, which holds its edges from the least to the
            most important; or one array [n, m_l] per layer; or a mapping from client id to lists. Arrays are numpy or
            torch; for a network with one layer the lists are not needed. Never mutated.
        ids : client ids, one per row
        edges : the number of edges of each layer; needed when clients name only some of them
        hostile : what to do with rows that are missing, malformed or not rankings, and with all rows that share an id:
            `"reject"`, `"stop"` or `"raise"`, as in :meth:`robustfl.aggregation.Aggregator.aggregate`

        Returns the global ranking as `value`: a list with one array per layer, or one array if clients sent one.

        Raises
        ------
        UpdatesError : the input is not a collection of rankings (or has hostile rows, with `hostile="raise"`)
        InfeasibleError : there are fewer accepted rows than the precondition requires with the declared f
        ExceededError : more clients were caught than the declared f, with `hostile="stop"`
        """
        require_policy(hostile)
        ballots = read_ballots(rankings, ids, self._lengths(edges))
        layers = tuple(edges) if edges is not None else self._all(ballots)
        sums, faults = sum_positions(ballots.rows, layers) if ballots.rows else ([], {})
        reasons = dict(sorted({**ballots.rejected, **faults}.items()))
        judge(self, ballots.ids, reasons, hostile)
        lacking = self.infeasible(len(ballots.ids) - len(reasons))
        if lacking is not None:
            lost = f"{len(reasons)} of {len(ballots.ids)} rows were rejected: {reasons}."
            raise InfeasibleError(f"{lacking} {lost}", rejected=len(reasons))
        rejected = np.isin(np.arange(len(ballots.ids)), list(reasons))
        value = ballots.restore([self.elect(layer) for layer in sums])
        more = exceeded(ballots.ids, reasons, self.byzantine)
        return Aggregation(value, None, rejected, {"ids": ballots.ids, "reasons": reasons, "exceeded": more})

    @final
    def preview(
        self,
        rankings: Any,
        *,
        ids: Iterable[Hashable] | None = None,
        edges: Sequence[int] | None = None,
        hostile: Hostile = "reject",
    ) -> Aggregation:
        """The answer that :meth:`aggregate` would give now; since nothing is remembered, the two are the same."""
        return self.aggregate(rankings, ids=ids, edges=edges, hostile=hostile)

    def _lengths(self, edges: Sequence[int] | None) -> tuple[int, ...] | None:
        """The number of entries that the ranking of each layer should have; None when the majority decides."""
        if edges is None:
            return None
        if not edges or not all(1 <= count <= MOST_ENTRIES for count in edges):
            raise ParameterError(f"`edges` should be numbers from 1 to {MOST_ENTRIES}. Found {list(edges)}.")
        return tuple(self.sent(count) for count in edges)

    def _all(self, ballots: Ballots) -> tuple[int, ...]:
        """The number of edges of each layer when every client names all of them."""
        layers = tuple(len(layer) for layer in next(iter(ballots.rows.values())))
        if any(self.sent(count) != count for count in layers):
            raise ParameterError(f"{self!r} is sent only some of the edges. Say how many there are: `edges=[...]`.")
        return layers
