"""FoolsGold: clients whose histories point the same way lose their weight."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.source import Source
from robustfl.errors import StateError
from robustfl.reputation import Decision
from robustfl.reputation.angles import cosines_and_lengths
from robustfl.reputation.identities import own_shares, recent

ALIKE = 1e-9
"""Trust below which all histories are one direction: dividing by the largest would turn rounding into weights."""


@dataclass(frozen=True, kw_only=True)
class FoolsGold(Aggregator):
    """FoolsGold: Sybils betray themselves by pulling the same way, round after round; they lose their weight.

    Formula: the history of client i is ``H_i <- H_i + x_i min(1, clip/||x_i||)``. With ``c_ij = cos(H_i, H_j)``,
    ``c_ii = 0`` and ``v_i = max_j c_ij``, honest clients are pardoned, ``c_ij <- c_ij v_i/v_j`` where ``v_i < v_j``;
    then ``w_i = 1 - max_j c_ij``, divided by the largest of the round, and
    ``a_i = confidence (ln(w_i/(1 - w_i) + 1e-5) + 1/2)``, cut to [0, 1]. The result is the sum of ``a_i x_i`` over
    `normalize`: by default a weighted mean, so that a round with excluded Sybils makes a step as long as one without.
    As published: ``Clipping(radius=1.0) >> FoolsGold(normalize="none", clip=None)``.

    Histories are compared with those of all clients that are remembered, also absent ones: a Sybil gains nothing by
    taking turns, or by coming back under a new name. Whoever returns continues. Rows have to be the clients' own.

    Shapes: [n, d] -> [d]. Cost: with m clients remembered, (n + m)^2 d for the Gram of rows and histories, m^2 after
    it; three passes over the data. Memory: m d numbers of history (state `history`), in the type of the updates,
    and as many again during a call.

    Guarantee: none in terms of f. Any number of clients whose histories agree has next to no weight together, also
    when they are the majority; needs no f. It does nothing against a single attacker, nor against Sybils that keep
    their histories apart by large, lasting perturbations that cancel in the sum, and it punishes honest clients that
    have the same data. Norms are left alone: clip before. When all histories agree, nobody can be told from a Sybil:
    see `alike`.

    References
    ----------
    C. Fung, C. J. M. Yoon, I. Beschastnikh. The Limitations of Federated Learning in Sybil Settings. RAID 2020.

    Examples
    --------
    >>> from robustfl.defenses import FoolsGold
    >>> answer = FoolsGold().aggregate([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    >>> answer.value.tolist(), answer.weights.tolist()
    ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    >>> for decision in answer.info["decisions"][1:]:
    ...     print(decision.client, decision.action, decision.evidence)
    1 excluded {'most_similar': 2, 'cosine': 1.0}
    2 excluded {'most_similar': 1, 'cosine': 1.0}
    """

    family: ClassVar[str] = "reputation"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "clients whose histories agree have next to no weight together, however many they are"
    breakdown: ClassVar[str] = "none: one lone attacker"
    reference: ClassVar[str] = "Fung et al., The Limitations of Federated Learning in Sybil Settings, RAID 2020"
    state_keys: ClassVar[tuple[str, ...]] = ("history", "excluded")

    normalize: Annotated[
        Literal["none", "n", "sum"],
        Doc("what the weighted sum is divided by: nothing as published, the number of rows, or the sum of the weights"),
    ] = "sum"
    clip: Annotated[
        Literal["median"] | float | None,
        Gt(0),
        Doc("longest part of an update that enters the history: the round's median norm, a length, or no limit"),
    ] = "median"
    confidence: Annotated[float, Gt(0), Doc("steepness of the last step, kappa in the publication")] = 1.0
    alike: Annotated[
        Literal["zero", "uniform"],
        Doc("weights when all histories point the same way: none, which skips the round, or equal ones"),
    ] = "zero"
    remembered: Annotated[int, Ge(1), Doc("clients whose history is kept; who was absent longest goes first")] = 1000

    @property
    def unclaimed(self) -> frozenset[str]:
        outside = {"consensus", "box"} if self.normalize != "sum" or self.alike == "zero" else set()
        return frozenset({"breakdown", "translation", "centring", *outside})

    def extra_points(self, source: Source) -> list[Array]:
        history = self._state.get("history", {})
        for client, vector in history.items():
            if tuple(vector.shape) != (source.d_here,):
                raise StateError(
                    f"FoolsGold remembers {len(vector)} values of client {client!r}; the updates have "
                    f"{source.d_here}. Call reset()."
                )
        return [source.place(vector) for vector in history.values()]

    def _aggregate(self, rows: Rows) -> Outcome:
        ids, known = rows.source.ids, list(self._state.get("history", {}))
        clients = recent(known, ids, self.remembered)
        place = {client: number for number, client in enumerate(clients)}
        here = np.array([place[client] for client in ids])
        own = own_shares(rows, self)
        sums = np.zeros((len(clients), rows.n + len(known)))  # the new histories, from rows and old histories
        sums[here, np.arange(rows.n)] = self._clipped(np.sqrt(rows.squared_norms))
        for number, client in enumerate(known):
            if client in place:
                sums[place[client], rows.n + number] = 1.0
        cosines, lengths = cosines_and_lengths(rows.gram, sums)
        alpha = trust(cosines, here, self.confidence)
        if not alpha.any() and self.alike == "uniform":
            alpha = np.ones(rows.n)
        weights = alpha / {"none": 1.0, "n": rows.n, "sum": alpha.sum() or 1.0}[self.normalize]

        # histories only ever matter by their direction: shrinking one keeps hostile numbers from overflowing it
        longest = 1e30 if rows.source.reader.working == "float32" else 1e140
        shrink = np.minimum(1.0, np.divide(longest, lengths, out=np.ones(len(clients)), where=lengths > 0))
        history = self._moved(rows.source, clients, shrink, sums[here, np.arange(rows.n)] * shrink[here] * own)
        value = rows.combine(weights)
        decisions = self._decisions(ids, alpha, cosines[here], clients)
        excluded = tuple(decision.client for decision in decisions if decision.action == "excluded")
        absent = set(clients) - set(ids)
        still = (client for client in self._state.get("excluded", ()) if client in absent)
        state = {"history": history, "excluded": (*still, *excluded)}
        return Outcome(value, rows.source_weights(weights), {"decisions": decisions}, state)

    def _clipped(self, norms: Floats) -> Floats:
        """The part of each row [n] that enters its client's history."""
        if self.clip is None:
            return np.ones(len(norms))
        radius = float(np.median(norms)) if self.clip == "median" else self.clip
        return np.divide(radius, norms, out=np.ones(len(norms)), where=norms > radius)

    def _moved(
        self, source: Source, clients: tuple[Hashable, ...], shrink: Floats, added: Floats
    ) -> dict[Hashable, Array]:
        """The histories times `shrink` [m], plus the rows times `added` [n].

        Those that move get memory of their own: a view of a matrix [n, d] would keep all of it for one client.
        """
        before, after, present = self._state.get("history", {}), {}, set(source.ids)
        for client, factor in zip(clients, shrink.tolist(), strict=True):
            old = source.place(before[client]) if client in before else None
            if old is None or client in present or factor < 1.0:
                vector = source.zeros()
                vector += 0.0 if old is None else old * factor
                after[client] = vector
            else:
                after[client] = old
        scale = source.place(added)[:, None]
        for columns, part in source.sweep(lambda values, columns, extent: values * scale):
            for client, row in zip(source.ids, part, strict=True):
                after[client][columns] += row
        return after

    def _decisions(
        self, ids: tuple[Hashable, ...], alpha: Floats, cosines: Floats, clients: tuple[Hashable, ...]
    ) -> tuple[Decision, ...]:
        """One a row; `cosines` [n, m] are the rows' clients' with all remembered ones."""
        before = set(self._state.get("excluded", ()))
        place = {client: number for number, client in enumerate(clients)}
        decisions = []
        for client, score, row in zip(ids, alpha.tolist(), cosines, strict=True):
            others = np.where(np.arange(len(clients)) == place[client], -np.inf, row)
            nearest = int(np.argmax(others))
            alone = len(clients) == 1
            evidence = {} if alone else {"most_similar": clients[nearest], "cosine": float(others[nearest])}
            action = "excluded" if score == 0 else "readmitted" if client in before else "weighted"
            decisions.append(Decision(client, action, score, evidence))
        return tuple(decisions)


def trust(cosines: Floats, here: np.ndarray, confidence: float = 1.0) -> Floats:
    """The weights in [0, 1] of the clients `here` [n], from cosines [m, m] between all histories.

    Zeros when all of them point the same way. Otherwise the largest weight is 1, unless `confidence` is below 0.2.
    """
    similar = cosines.copy()
    np.fill_diagonal(similar, 0.0)
    most = similar.max(axis=1)
    ratio = np.divide(most[:, None], most[None, :], out=np.ones_like(similar), where=most[:, None] < most[None, :])
    apart = (1.0 - (similar * ratio).max(axis=1))[here]
    if apart.max() < ALIKE:
        return np.zeros(len(here))
    scaled = np.minimum(apart / apart.max(), 0.99)
    weights: Floats = np.clip(confidence * (np.log(scaled / (1.0 - scaled) + 1e-5) + 0.5), 0.0, 1.0)
    return weights
