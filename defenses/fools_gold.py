"""FoolsGold: clients whose histories point in the same direction lose their weight."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.sensitivity import MEMORY
from robustfl.aggregation.updates.source import Source
from robustfl.errors import StateError
from robustfl.reputation import Decision
from robustfl.reputation.angles import cosines_and_lengths
from robustfl.reputation.identities import own_shares, recent
from robustfl.reputation.likeness import trust


@dataclass(frozen=True, kw_only=True)
class FoolsGold(Aggregator):
    """FoolsGold: clients that pull in the same direction round after round are taken for Sybils and lose their weight.

    Formula: the history of client i is ``H_i <- H_i + x_i min(1, clip/||x_i||)``. With ``c_ij = cos(H_i, H_j)``,
    ``c_ii = 0`` and ``v_i = max_j c_ij``, honest clients are pardoned by ``c_ij <- c_ij v_i/v_j`` where ``v_i < v_j``.
    Then ``w_i = 1 - max_j c_ij`` is divided by its largest value of the round, and
    ``a_i = confidence (ln(w_i/(1 - w_i) + 1e-5) + 1/2)`` is cut to [0, 1]. The result is the sum of ``a_i x_i`` divided
    by what `normalize` names. The default is a weighted mean, so that the step of a round with excluded Sybils is as
    long as that of a round without. The published rule is
    ``Clipping(radius=1.0) >> FoolsGold(normalize="none", clip=None)``.

    A history is compared with those of all remembered clients, absent ones included, so Sybils gain nothing by taking
    turns or by coming back under new names. A client that returns continues its history. The rows have to be the
    clients' own, not mixtures.

    Shapes: [n, d] -> [d]. Cost: with m remembered clients, (n + m)^2 d for the Gram of rows and histories, and m^2
    after it; three passes over the data. Memory: m d numbers of history (state `history`), in the type of the updates,
    and as many again during a call.

    Guarantee: there is none in terms of f, and the rule needs no f. Clients whose histories agree have almost no weight
    together, however many they are, even when they are the majority. The rule does nothing against a single attacker.
    Nor does it stop Sybils that keep their histories apart by large, lasting perturbations that cancel in the sum. It
    punishes honest clients that have the same data. It does not limit norms: put a clipping stage in front. When all
    histories agree, no client can be told from a Sybil: see `alike`.

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
    guarantee: ClassVar[str] = "any number of clients with the same history together have almost no weight"
    breakdown: ClassVar[str] = "none: a single attacker is not stopped"
    unfit: ClassVar[str] = (
        "where clients hold similar data (IID): honest clients then look like Sybils, and a single attacker that "
        "differs gets nearly all the weight"
    )
    no_sensitivity: ClassVar[str] = MEMORY
    reference: ClassVar[str] = "Fung et al., The Limitations of Federated Learning in Sybil Settings, RAID 2020"
    state_keys: ClassVar[tuple[str, ...]] = ("history", "excluded")

    normalize: Annotated[
        Literal["none", "n", "sum"],
        Doc("what the weighted sum is divided by: nothing as published, the number of rows, or the sum of the weights"),
    ] = "sum"
    clip: Annotated[
        Literal["median"] | float | None,
        Gt(0),
        Doc("length to which an update is clipped before it enters the history: the round's median norm, or a number"),
    ] = "median"
    confidence: Annotated[
        float, Gt(0), Doc("factor on the logit that turns dissimilarity into a weight (kappa in the publication)")
    ] = 1.0
    alike: Annotated[
        Literal["zero", "uniform"],
        Doc("weights when all histories have the same direction: zero, which skips the round, or equal weights"),
    ] = "zero"
    remembered: Annotated[
        int, Ge(1), Doc("number of clients whose history is kept; clients that were absent longest are forgotten first")
    ] = 1000

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

        # only the direction of a history matters, so it may be shrunk: then hostile numbers cannot make it overflow
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

        A history that changes gets memory of its own: a view would keep a whole matrix [n, d] alive for one client.
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
        """One decision per row; `cosines` [n, m] compare the clients of the rows with all remembered clients."""
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
