"""RFFL: clients earn a reputation, and with it their say in the aggregate and their part of it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation import Aggregation, Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import InfeasibleError, ParameterError
from robustfl.reputation import Decision
from robustfl.reputation.angles import cosines_and_lengths
from robustfl.reputation.identities import own_shares, recent
from robustfl.reputation.rewards import reward

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

CANCELLED = 0.01
"""Share of their magnitudes to which reputations may cancel before dividing by their sum only enlarges noise."""


class Book(NamedTuple):
    """What is remembered: one entry a client, those who took part last at the end."""

    clients: tuple[Hashable, ...]
    reputation: Floats
    """[m]; the sum is 1, excluded clients have 0."""
    rounds: Places
    """[m] rounds that each client took part in."""
    excluded: Flags
    """[m]"""


@dataclass(frozen=True, kw_only=True)
class RFFL(Aggregator):
    """RFFL: a client's say, and the part of the aggregate that it gets, follow from how well it agreed with the others.

    Formula, with updates g_i cut to the length `clip`: ``u = sum a_i g_i``, where a are the reputations of those
    present as shares (shard sizes or equal ones while nobody has any). Then ``phi_i = cos(g_i, u)`` and ``r_i <- alpha
    r_i + (1 - alpha) phi_i``, divided by the sum. A client that took part in `grace` rounds or more before and has
    ``r_i < beta/|R|`` is excluded for good, where R are those not excluded. The quota ``q_i = r_i/max r`` is the share
    of the entries of u, those of largest magnitude in each layer, that client i gets in return: see :meth:`rewards`.
    Every client keeps a model of its own, and adds to it its own (cut) update and its reward.

    Reputations go with the id. Who is absent keeps its own; who joins later starts with none, so without a say, and
    takes some ten rounds to earn one (a shorter `grace` shuts newcomers out). Rows have to be the clients' own, though
    they may be clipped before. Without rewards (in another framework) it is an ordinary rule that returns u.

    `info` has, by client: `reputations` (all that are remembered), `quotas` and `kept` (those present; the share of
    its update that was not cut off, which is what the client adds to its own model), further `excluded`, `decisions`
    and `threshold`, the reputation below which clients are excluded.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, n^2 after it; two passes over the data. State: three numbers for
    each of the remembered clients (`clients`, `reputation`, `rounds`, `excluded`, and `sizes`).

    Guarantee: none in terms of f, but that u is no longer than the longest cut row. Updates that are orthogonal or
    opposed to the others lose their say, within some ten rounds; those that agree in direction keep it whatever else
    they do (a few flipped labels, say). The first round is a mean: the larger part of it has to be honest. Honest
    clients with data unlike all others', such as a single class, are excluded as well. Exclusion binds an identity, so
    clients have to be authenticated.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.defenses import RFFL
    >>> rule = RFFL(grace=2)
    >>> clients = {"anna": [2.0, 0.1], "boris": [2.0, -0.1], "carla": [1.0, 1.0], "mallory": [0.0, -2.0]}
    >>> for _ in range(4):
    ...     answer = rule.aggregate({name: np.array(update) for name, update in clients.items()})
    >>> answer.info["excluded"]
    ('mallory',)
    >>> {client: round(quota, 1) for client, quota in answer.info["quotas"].items()}
    {'anna': 1.0, 'boris': 1.0, 'carla': 0.6, 'mallory': 0.0}
    """

    channel: ClassVar[str] = "rewards"
    family: ClassVar[str] = "reputation"
    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "who sends directions unlike the aggregate's loses its say, and gets nothing in return"
    breakdown: ClassVar[str] = "bounded length of the result; < 1/2 of the weight in direction, experimentally"
    reference: ClassVar[str] = (
        "Xu and Lyu, A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in "
        "Federated Learning, FL-ICML 2021"
    )
    state_keys: ClassVar[tuple[str, ...]] = ("clients", "reputation", "rounds", "excluded", "sizes")

    clip: Annotated[
        Literal["median"] | float,
        Gt(0),
        Doc("longest part of an update that counts: the round's median norm, or a length (Gamma in the publication)"),
    ] = "median"
    alpha: Annotated[float, Ge(0), Lt(1), Doc("memory: what is left of a reputation a round later")] = 0.95
    beta: Annotated[float, Ge(0), Lt(1), Doc("share of the mean reputation below which a client is excluded")] = 1 / 3
    grace: Annotated[int, Ge(0), Doc("rounds of its own in which a client is not excluded yet")] = 10
    remembered: Annotated[int, Ge(1), Doc("clients that are remembered; who was absent longest goes first")] = 100_000

    @property
    def unclaimed(self) -> frozenset[str]:
        shrinking = {"translation", "centring", "box"}
        return frozenset(shrinking if self.clip == "median" else shrinking | {"scaling", "consensus"})

    @property
    def geometric(self) -> bool:
        return True

    def begin(self, sizes: Mapping[Hashable, float]) -> None:
        """Forget everything, and let clients count by the sizes of their data while nobody has a reputation.

        A client that is not in `sizes` makes all count alike. Sizes are what clients claim: give them only where the
        claim is known to be true.

        Raises ParameterError for a size that is no positive number.
        """
        for client, size in sizes.items():
            if not (math.isfinite(size) and size > 0):
                raise ParameterError(f"A data size should be a positive number. Found {size} for client {client!r}.")
        self._commit({"sizes": {client: float(size) for client, size in sizes.items()}})

    def rewards(self, answer: Aggregation) -> dict[Hashable, Any]:
        """What each client that took part is to be sent, by id, in the form of the aggregate.

        The layers are the entries of a list or mapping; an aggregate that is one array is one layer.
        """
        return {client: reward(answer.value, quota) for client, quota in answer.info["quotas"].items()}

    def _aggregate(self, rows: Rows) -> Outcome:
        own = own_shares(rows, self)
        ids = rows.source.ids
        book, here = self._opened(ids)
        active = ~book.excluded[here]
        if not active.any():
            raise InfeasibleError(
                f"RFFL has excluded all {len(ids)} clients that sent a row. Let others take part, or call reset() and "
                "admit them anew."
            )
        norms = np.sqrt(rows.squared_norms)
        radius = float(np.median(norms[active])) if self.clip == "median" else self.clip
        kept = np.divide(radius, norms, out=np.ones(rows.n), where=norms > radius)

        shares = self._shares(book.reputation[here], ids, active)
        weights = shares * kept
        cosines, lengths = cosines_and_lengths(rows.gram, np.vstack([np.diag(kept), weights]))
        agreement = np.where(active, cosines[-1, :-1], 0.0)
        longest = float(lengths[:-1][active].max())
        if lengths[-1] > longest and (shares < 0).any():  # reputations of both signs may add up to a large step
            weights *= longest / lengths[-1]

        after, threshold = self._judged(book, here, active, agreement)
        quotas = np.clip(after.reputation / after.reputation.max(), 0.0, 1.0)[here]
        decisions = []
        for row, client in enumerate(ids):
            place = here[row]
            known = "weighted" if book.rounds[place] else "explored"
            action = "excluded" if after.excluded[place] else known
            evidence = {
                "cosine": float(agreement[row]),
                "weight": float(weights[row]),
                "quota": float(quotas[row]),
                "threshold": threshold,
            }
            decisions.append(Decision(client, action, float(after.reputation[place]), evidence))
        info = {
            "reputations": dict(zip(after.clients, after.reputation.tolist(), strict=True)),
            "quotas": dict(zip(ids, quotas.tolist(), strict=True)),
            "kept": dict(zip(ids, (own * kept).tolist(), strict=True)),
            "excluded": tuple(c for c, out in zip(after.clients, after.excluded, strict=True) if out),
            "threshold": threshold,
            "decisions": tuple(decisions),
        }
        state = {**after._asdict(), "sizes": self._state.get("sizes", {})}
        return Outcome(rows.combine(weights), rows.source_weights(weights), info, state)

    def _opened(self, ids: tuple[Hashable, ...]) -> tuple[Book, Places]:
        """The book with everybody in it who is present, and where they stand in it, [n]."""
        known: tuple[Hashable, ...] = self._state.get("clients", ())
        clients = recent(known, ids, self.remembered)
        m, before = len(clients), {client: place for place, client in enumerate(known)}
        book = Book(clients, np.zeros(m), np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.bool_))
        kept = [(new, before[client]) for new, client in enumerate(clients) if client in before]
        if kept:
            new, old = np.array(kept).T
            for name in ("reputation", "rounds", "excluded"):
                getattr(book, name)[new] = self._state[name][old]
        if 0 < len(kept) < len(known) and not _cancelled(book.reputation):  # somebody was forgotten
            book.reputation[:] /= book.reputation.sum()
        place = {client: number for number, client in enumerate(clients)}
        return book, np.array([place[client] for client in ids])

    def _shares(self, reputation: Floats, ids: tuple[Hashable, ...], active: Flags) -> Floats:
        """The say [n] of those present, with sum 1: by reputation, else by shard size, else equal."""
        shares = np.where(active, reputation, 0.0)
        if _cancelled(shares):
            sizes = self._state.get("sizes", {})
            claimed = np.array([sizes.get(client, np.nan) for client in ids])
            shares = np.where(active, claimed, 0.0)
            if np.isnan(shares).any():
                shares = active.astype(np.float64)
        return np.asarray(shares / shares.sum())

    def _judged(self, book: Book, here: Places, active: Flags, agreement: Floats) -> tuple[Book, float]:
        """The book after this round, and the threshold that was applied.

        Those present divide among themselves what they had before, so that absence costs and earns nothing; a new
        client brings the mean share with it.
        """
        free = ~book.excluded
        present, cosines = here[active], agreement[active]
        new = float((book.rounds[present] == 0).sum() / free.sum())
        mass = (1.0 - new) * float(book.reputation[present].sum()) + new
        moved = self.alpha * book.reputation[present] + (1.0 - self.alpha) * cosines
        if _cancelled(moved) or mass <= 0:
            moved = np.full(len(present), max(mass, 0.0) / len(present))
        else:
            moved *= mass / moved.sum()
        reputation = (1.0 - new) * book.reputation
        reputation[present] = moved

        threshold = self.beta / int(free.sum())
        doomed = present[(book.rounds[present] >= self.grace) & (moved < threshold)]
        excluded, rounds = book.excluded.copy(), book.rounds.copy()
        excluded[doomed], reputation[doomed] = True, 0.0
        rounds[here] += 1
        if _cancelled(reputation):
            reputation = np.where(excluded, 0.0, 1.0)
        return Book(book.clients, reputation / reputation.sum(), rounds, excluded), threshold


def _cancelled(values: Floats) -> bool:
    """Whether the sum of values is no base to take shares of: zero, negative, or left over from cancellation."""
    return bool(values.sum() <= CANCELLED * np.abs(values).sum())
