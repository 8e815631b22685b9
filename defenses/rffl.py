"""RFFL: clients earn a reputation, which decides their weight in the aggregate and the part of it that they get."""

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
from robustfl.aggregation.sensitivity import MEMORY
from robustfl.errors import InfeasibleError, ParameterError
from robustfl.reputation import Decision
from robustfl.reputation.angles import cosines_and_lengths
from robustfl.reputation.identities import own_shares, recent
from robustfl.reputation.rewards import reward

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

CANCELLED = 0.01
"""A sum of reputations below this share of the sum of their magnitudes is not divided by, which would amplify noise."""


class Book(NamedTuple):
    """What the rule remembers: one entry per client, in the order in which the clients last took part."""

    clients: tuple[Hashable, ...]
    reputation: Floats
    """[m] reputations, whose sum is 1; those of excluded clients are 0."""
    rounds: Places
    """[m] numbers of rounds that each client took part in."""
    excluded: Flags
    """[m] whether each client is excluded."""


@dataclass(frozen=True, kw_only=True)
class RFFL(Aggregator):
    """RFFL: a client's agreement with the others decides its weight and the part of the aggregate that it gets back.

    Formula: with every update g_i clipped to the length `clip`, the aggregate is ``u = sum a_i g_i``, where the weights
    a_i are the reputations of the clients that are present, scaled to sum 1 (while no client has a reputation, they
    follow the sizes of the data, or are equal). Then ``phi_i = cos(g_i, u)`` and
    ``r_i <- alpha r_i + (1 - alpha) phi_i``, divided by the sum. A client that took part in at least `grace` earlier
    rounds and has ``r_i < beta/|R|`` is excluded for good, where R holds the clients that are not excluded. In return,
    client i gets the share ``q_i = r_i/max r`` (its quota) of the entries of u: those of largest magnitude in each
    layer, see :meth:`rewards`. Every client keeps a model of its own, to which it adds its own clipped update and its
    reward.

    A reputation belongs to an id. An absent client keeps its reputation. A client that joins later starts without
    reputation and therefore without weight, and needs about ten rounds to earn some (a shorter `grace` excludes
    newcomers). The rows have to be the clients' own, though they may be clipped before. In a framework without rewards,
    this is an ordinary rule that returns u.

    `info` has these entries by client: `reputations` (of all remembered clients), `quotas` and `kept` (of the clients
    that are present). `kept` is the share of a client's update that was not cut off; the client adds this share to its
    own model. Further entries are `excluded`, `decisions` and `threshold`, the reputation below which clients are
    excluded.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram, and n^2 after it; two passes over the data. State: three numbers
    for each of the remembered clients (`clients`, `reputation`, `rounds`, `excluded`, and `sizes`).

    Guarantee: there is none in terms of f, except that u is no longer than the longest clipped row. Updates that are
    orthogonal or opposed to the others lose their weight within about ten rounds. Updates that agree in direction keep
    it, whatever else they do (for example a few flipped labels). The first round is a mean, so the larger part of it
    has to be honest. Honest clients whose data are unlike all others', such as a single class, are excluded as well. An
    exclusion applies to an identity, so clients have to be authenticated.

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
    guarantee: ClassVar[str] = "a client whose updates point away from the aggregate loses its weight and its reward"
    breakdown: ClassVar[str] = "the length is bounded; the direction for < 1/2 of the weight, by experiment"
    unfit: ClassVar[str] = (
        "where a client may be the only one with a class of data, as it is excluded for good; or where clients are"
        " not authenticated, as an excluded one comes back"
    )
    no_sensitivity: ClassVar[str] = MEMORY
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
    alpha: Annotated[
        float, Ge(0), Lt(1), Doc("weight of the old reputation in the new one; a higher value remembers longer")
    ] = 0.95
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
        """Forget everything, and weight clients by the sizes of their data while no client has a reputation.

        If a client of a round is not in `sizes`, all clients count equally. Clients report these sizes themselves: pass
        them only if the reports are known to be true.

        Raises ParameterError for a size that is no positive number.
        """
        for client, size in sizes.items():
            if not (math.isfinite(size) and size > 0):
                raise ParameterError(f"A data size should be a positive number. Found {size} for client {client!r}.")
        self._commit({"sizes": {client: float(size) for client, size in sizes.items()}})

    def rewards(self, answer: Aggregation) -> dict[Hashable, Any]:
        """The reward for each client that took part, by id, in the form of the aggregate.

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
        if lengths[-1] > longest and (shares < 0).any():  # reputations of both signs may give a large step
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
        """The book with an entry for every client that is present, and the positions [n] of their entries."""
        known: tuple[Hashable, ...] = self._state.get("clients", ())
        clients = recent(known, ids, self.remembered)
        m, before = len(clients), {client: place for place, client in enumerate(known)}
        book = Book(clients, np.zeros(m), np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.bool_))
        kept = [(new, before[client]) for new, client in enumerate(clients) if client in before]
        if kept:
            new, old = np.array(kept).T
            for name in ("reputation", "rounds", "excluded"):
                getattr(book, name)[new] = self._state[name][old]
        if 0 < len(kept) < len(known) and not _cancelled(book.reputation):  # some clients were forgotten
            book.reputation[:] /= book.reputation.sum()
        place = {client: number for number, client in enumerate(clients)}
        return book, np.array([place[client] for client in ids])

    def _shares(self, reputation: Floats, ids: tuple[Hashable, ...], active: Flags) -> Floats:
        """The weights [n] of the clients present, with sum 1: by reputation, else by size of the data, else equal."""
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

        The clients that are present redistribute the reputation that they had together before, so an absent client
        neither loses nor gains. A new client adds the mean reputation to that total.
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
    """Whether the sum of values is unfit to divide by: it is zero, negative, or left over from cancellation."""
    return bool(values.sum() <= CANCELLED * np.abs(values).sum())
