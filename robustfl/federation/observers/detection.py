"""Whom a defense ignores: it should hear honest clients and ignore malicious ones."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import Aggregation
from robustfl.federation.observers.contract import Observer
from robustfl.federation.peers.hearing import Exchange
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEAR_ZERO = 0.1
"""A message counts as ignored when it has less than this part of an equal share of the weights."""

TOGETHER = 1 << 16
"""So many messages, at least, are counted together, or all of a training."""


class Detection(Observer):
    """Follows over the rounds how much weight a defense gives to honest and to malicious messages.

    In a round with n messages, message i has the share `s_i = |w_i| / sum |w|` of the weights; a refused message has
    the share 0. A message is ignored when `s_i < 0.1 / n`. The sum in the denominator is needed because a rule that
    shrinks all messages equally would otherwise ignore all of them. A rule without weights ignores only the messages
    that it refuses; if it refuses none either, no measure is defined.

    A malicious member counts as malicious in every round, also while its attack pauses.

    Parameters
    ----------
    malicious : bool [members], whether each member is malicious
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("honest_ignored", "share of the honest messages that were ignored", unit="share", better="lower"),
        Measure(
            "honest_unheard", "share of the honest clients that were never really heard", unit="share", better="lower"
        ),
        Measure("detection_recall", "share of the malicious messages that was ignored", unit="share", better="higher"),
        Measure("detection_precision", "share of malicious messages among the ignored", unit="share", better="higher"),
        Measure(
            "detection_auc",
            "how often a malicious message has less weight than an honest one",
            unit="share",
            better="higher",
        ),
    )

    def __init__(self, malicious: Mask) -> None:
        self._malicious, self._anybody = malicious, bool(malicious.any())
        self._telling = False  # whether any round had weights or a refused message
        self._ignored = np.zeros(2, dtype=np.int64)  # numbers of honest and of malicious messages
        self._messages = np.zeros(2, dtype=np.int64)
        self._received = np.zeros(len(malicious))  # equal shares that each member got, over all its messages
        self._messages_of = np.zeros(len(malicious), dtype=np.int64)
        self._areas: list[float] = []
        self._malicious_shares: list[float] = []
        self._noted: list[tuple[Ids, Floats | None, Mask]] = []  # rounds that are to be counted together

    def hear(self, round: Round) -> None:
        for receiver in round.receivers:
            self.observe(receiver.ids, receiver.answer)
        for exchange in round.exchanges:
            self.observe_letters(exchange)

    def report(self, trace: Trace) -> None:
        trace.malicious_share = self.malicious_share()
        self.tell(trace, **self.found())

    def observe(self, ids: Ids, answer: Aggregation | None) -> None:
        """Take note of a round: who sent the messages, and the defense's answer to them, or None without an answer."""
        if answer is None:
            return
        self._noted.append((ids, answer.weights, answer.rejected))
        if len(self._noted) * len(ids) >= TOGETHER:
            self.count()

    def count(self) -> None:
        """Count the rounds that were noted; those of one size that follow each other take one computation."""
        for _, group in groupby(self._noted, key=lambda noted: (len(noted[0]), noted[1] is None)):
            ids, weights, rejected = zip(*group, strict=True)
            given = None if weights[0] is None else np.array(weights)
            self._count(np.array(ids), given, np.array(rejected))
        self._noted.clear()

    def _count(self, ids: Ids, weights: Floats | None, rejected: Mask) -> None:
        """Count t rounds of n messages each: the arguments are [t, n]."""
        bad, shares = self._malicious[ids], equal_shares(weights, rejected)
        n, count, ignored = ids.shape[1], bad.sum(axis=1), shares < NEAR_ZERO
        all_bad, all_ignored, caught = int(count.sum()), int(ignored.sum()), int((ignored & bad).sum())
        self._telling |= weights is not None or bool(rejected.any())
        self._messages += (ids.size - all_bad, all_bad)
        self._ignored += (all_ignored - caught, caught)
        np.add.at(self._received, ids, shares)  # a client may occur twice in a round
        np.add.at(self._messages_of, ids, 1)
        both = (count > 0) & (count < n)
        self._areas += _areas(shares[both], bad[both])
        if weights is not None and self._anybody:
            told = shares.any(axis=1)
            self._malicious_shares += [
                float(own[mask].sum()) / n for own, mask in zip(shares[told], bad[told], strict=True)
            ]

    def observe_letters(self, exchange: Exchange) -> None:
        """Take note of a mixing of peers: every letter counts in the neighbourhood of its receiver."""
        arrived, senders, mixed = exchange.arrived, np.maximum(exchange.hearing.senders, 0), exchange.mixed
        rejected = mixed.rejected & arrived
        weights = np.where(arrived & ~rejected, 1.0 if mixed.weights is None else np.abs(mixed.weights), 0.0)
        count, total = arrived.sum(axis=1), weights.sum(axis=1)
        shares = np.round(weights * (count / np.where(total > 0, total, 1.0))[:, None], 9)
        bad = self._malicious[senders] & arrived
        self._telling |= mixed.weights is not None or bool(rejected.any())
        self._messages += np.bincount(bad[arrived], minlength=2)
        self._ignored += np.bincount(bad[arrived & (shares < NEAR_ZERO)], minlength=2)
        np.add.at(self._received, senders[arrived], shares[arrived])
        np.add.at(self._messages_of, senders[arrived], 1)
        both = bad.any(axis=1) & (arrived & ~bad).any(axis=1)
        if both.any():
            self._areas.append(_area_within(shares[both], bad[both], (arrived & ~bad)[both]))
        if mixed.weights is not None and self._malicious.any() and (total > 0).any():
            part = np.where(bad, shares, 0.0).sum(axis=1) / np.maximum(count, 1)
            self._malicious_shares.append(float(part[total > 0].mean()))

    def malicious_share(self) -> float | None:
        """The mean share of the weights that malicious messages got; None without weights or malicious members."""
        self.count()
        return float(np.mean(self._malicious_shares)) if self._malicious_shares else None

    def found(self) -> dict[str, float]:
        """The measures over all messages of all rounds; a measure that is not defined is absent.

        `honest_ignored` is the share of the honest messages that were ignored, which is the false positive rate of
        detection. `honest_unheard` is the share of the honest clients that got less than a tenth of an equal share of
        the weights over the whole training.

        With malicious members there are also `detection_recall`, the share of their messages that were ignored;
        `detection_precision`, the share of malicious messages among the ignored ones; and `detection_auc`, the
        probability that a malicious message has less weight than an honest one of the same round, where ties count
        half. It is the area under the ROC curve of `1 - w`, as a mean over the rounds with messages of both kinds.
        """
        self.count()
        if not self._telling:
            return {}
        (honest, caught), (honest_messages, bad_messages) = self._ignored.tolist(), self._messages.tolist()
        found: dict[str, float] = {}
        if honest_messages:
            sent = ~self._malicious & (self._messages_of > 0)
            found["honest_ignored"] = honest / honest_messages
            found["honest_unheard"] = float((self._received[sent] < NEAR_ZERO * self._messages_of[sent]).mean())
        if bad_messages:
            found["detection_recall"] = caught / bad_messages
            found |= {"detection_precision": caught / (honest + caught)} if honest + caught else {}
        return found | ({"detection_auc": float(np.mean(self._areas))} if self._areas else {})


def equal_shares(weights: Floats | None, rejected: Mask) -> Floats:
    """The share of each message in the weights of its round, in units of an equal share 1/n, [n] or [t, n].

    It is rounded, so that rounding errors of floats do not matter.
    """
    kept = np.where(rejected, 0.0, 1.0 if weights is None else np.abs(weights))
    total = kept.sum(axis=-1, keepdims=True)
    scaled: Floats = np.round(kept * (kept.shape[-1] / np.where(total > 0, total, 1.0)), 9)
    return scaled


def _area_within(shares: Floats, bad: NDArray[np.bool_], good: NDArray[np.bool_]) -> float:
    """How often a malicious letter has a smaller share than an honest one to the same receiver; ties count half.

    The mean over the lines of `shares` [k, m], each of which has letters of both kinds.
    """
    wins = np.zeros(len(shares))
    for slot in range(shares.shape[1]):  # slots, not peers: their number does not grow with the network
        below = (shares < shares[:, slot, None]) + 0.5 * (shares == shares[:, slot, None])
        wins += good[:, slot] * np.where(bad, below, 0.0).sum(axis=1)
    return float((wins / (bad.sum(axis=1) * good.sum(axis=1))).mean())


FEW = 64
"""Rounds of so many messages are compared pair by pair, all at once."""


def _areas(shares: Floats, bad: Mask) -> list[float]:
    """How often a malicious message has a smaller share than an honest one of its round; ties count half, [t, n].

    Each of the t rounds has messages of both kinds.
    """
    n = shares.shape[1]
    if n > FEW:
        return [auc(-own[mask], -own[~mask]) for own, mask in zip(shares, bad, strict=True)]
    one, other = shares[:, :, None], shares[:, None, :]
    pairs = bad[:, :, None] & ~bad[:, None, :]
    wins = np.count_nonzero((one < other) & pairs, axis=(1, 2)) + np.count_nonzero((one <= other) & pairs, axis=(1, 2))
    count = np.count_nonzero(bad, axis=1)
    areas: list[float] = (wins / count / (2 * (n - count))).tolist()
    return areas


def auc(positive: Floats, negative: Floats) -> float:
    """The area under the ROC curve: how often a positive [p] exceeds a negative [q], where ties count half."""
    ordered = np.sort(negative)
    places = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(places.mean()) / (2 * len(negative))
