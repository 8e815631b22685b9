"""The round: the value that passes through the stages of the engine, and that observers see.

Every stage fills in what it decides. A topology says who takes part and from which models they start. A channel
computes the messages and lets the adversary craft its own. Faults decide what arrives. The defense of each receiver
answers, and the topology moves the models. No part hides anything of a round, so a part can be exchanged without a
change to the others.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import Aggregation
from robustfl.federation.peers.hearing import Exchange
from robustfl.federation.settings import Federation
from robustfl.federation.strike import Strike

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]


class ServerModel(Protocol):
    """A model that aggregates move: the model of the server or of one peer.

    Attributes
    ----------
    state : [d] what clients receive and start from
    weights : [d] the weights that the network computes with; equal to `state` in channels whose messages are updates
    previous : [d] the weights before the last step; None before the first step
    """

    @property
    def state(self) -> Tensor: ...
    @property
    def weights(self) -> Tensor: ...
    @property
    def previous(self) -> Tensor | None: ...

    def step(self, aggregate: Tensor) -> None:
        """Move the model by an aggregate of the channel's messages."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The batches of the members who train in a round.

    Attributes
    ----------
    ids : [k] the members who train, each once
    place : [m] for each of the members that were asked for, the place of its training in `ids`; identities that
        share one update share a place
    index : [k, steps, batch] the places of the samples among the training samples
    features : [k, steps, batch, ...] the samples as the members see them, after poisoning and augmentation
    labels : [k, steps, batch] the labels as the members see them
    starts : where adversarial training begins its search, in the shape of the features; None without random starts
    draws : [k, steps, batch, columns] the random numbers of what the members minimise; None when it is not random
    taking : [k, steps, batch] which of the samples take part in a step; None if all do
    """

    ids: Ids
    place: Ids
    index: Tensor
    features: Tensor
    labels: Tensor
    starts: Tensor | None
    draws: Tensor | None = None
    taking: Tensor | None = None


@dataclass(kw_only=True)
class Receiver:
    """The one who aggregates in a round: the server, or one peer.

    Attributes
    ----------
    who : the receiver's name; "server" in a federation with a server
    defense : the receiver's own copy of the defense
    model : the model that the receiver's aggregate moves
    malicious, honest : the members of the round whose messages go to the receiver, each in ascending order
    trusted : [d] an update that the receiver computed itself, for defenses that want one
    rows, ids : [k, m] the messages that have arrived, and the members who sent them
    names : what the defense calls these members
    answer : what the defense answered; None when too few rows had arrived
    aggregate : [m'] the answer as the vector that moves the model
    refused : the number of rows that the defense refused in a round without an answer
    """

    who: Hashable
    defense: Any
    model: ServerModel
    malicious: Ids
    honest: Ids
    trusted: Tensor | None = None
    rows: Tensor | None = None
    ids: Ids = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    names: list[Hashable] = field(default_factory=list)
    answer: Aggregation | None = None
    aggregate: Tensor | None = None
    refused: int = 0

    @property
    def arrived(self) -> Tensor:
        """The messages [k, m] that go to this receiver; they exist once the adversary has crafted its own."""
        assert self.rows is not None, "a channel crafts messages before anything else happens to them"
        return self.rows


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What can be seen of one client in a round: the model that it got, its batches, and the message that it sent.

    Attributes
    ----------
    model : [d] the model from which the client started
    features, labels : [steps, batch, ...] and [steps, batch], what the client learnt from
    message : [m] what the client sent; None where messages are hidden
    """

    member: int
    model: Tensor
    features: Tensor
    labels: Tensor
    message: Tensor | None


@dataclass(kw_only=True)
class Round:
    """One round, from the choice of who takes part to the new models.

    Attributes
    ----------
    number : the round's number, from 0; `last` says whether it is the last round
    measured : whether models are measured after this round
    malicious, honest : the members who take part, each in ascending order
    receivers : those who aggregate: the server alone, or every peer
    started : [members] the number of steps that the server had made when each member began; None if all members begin
        with the newest model
    lesson : the batches of the members who train
    models : [d] or [k, d] the models from which these members start
    trained : [k, d] the models that they have after their own training, where a message is no model; else None
    virtual : [k, m, ...] and [k, m] the samples that they send and the labels of these, where messages are samples
    computed : [k, m] what each of them computed, before anything else happens to it
    own : [f, m] what the malicious members would send if they were honest; None where nothing asks for it
    messages : [h, m] what the honest members send
    seen : [s, m] what an observer of the network sees of these messages: all of them, or sums over groups where a
        transform hides them
    served : [s, d] the models that honest clients have after the round, or one row if all have the same model; None in
        rounds that are not measured
    exchanges : in a network of peers, each mixing of the round; there are no receivers then
    diverged : whether a model has stopped being finite, which ends the training
    """

    number: int
    last: bool = False
    measured: bool = False
    malicious: Ids
    honest: Ids
    receivers: tuple[Receiver, ...] = ()
    started: Ids | None = None
    lesson: Lesson | None = None
    models: Tensor | None = None
    trained: Tensor | None = None
    virtual: tuple[Tensor, Tensor] | None = None
    computed: Tensor | None = None
    own: Tensor | None = None
    messages: Tensor | None = None
    seen: Tensor | None = None
    served: Tensor | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    diverged: bool = False

    def mark(self, rules: Federation, strike: Strike | None) -> None:
        """Note whether this is the last round, and whether models are measured after it.

        They are also measured just before an attack strikes for the first time, and just after it has stopped.
        """
        self.last = self.finished == rules.rounds
        self.measured = rules.measured(self.finished) or (strike is not None and self.finished in strike.edges)

    @property
    def sent(self) -> Tensor:
        """The messages [h, m] of the honest members; they exist once the channel has computed them."""
        assert self.messages is not None, "a channel computes messages before anything else happens to them"
        return self.messages

    @property
    def finished(self) -> int:
        """The number of rounds that have been played when this one ends."""
        return self.number + 1

    def ages(self, ids: Ids) -> Ids:
        """How many steps old the models were from which these members began, [k]."""
        if self.started is None:
            return np.zeros(len(ids), dtype=np.int64)
        return self.number - self.started[ids]

    def sight(self, member: int) -> Sight | None:
        """What can be seen of an honest member; None when it does not take part."""
        at = np.flatnonzero(self.honest == member)
        if not len(at):
            return None
        assert self.lesson is not None
        assert self.models is not None
        asked = len(self.lesson.place) - len(self.honest) + int(at[0])  # honest members come last
        row = int(self.lesson.place[asked])
        shown = self.seen is not None and len(self.seen) == len(self.honest)
        return Sight(
            member=member,
            model=self.models if self.models.ndim == 1 else self.models[row],
            features=self.lesson.features[row],
            labels=self.lesson.labels[row],
            message=self.seen[int(at[0])] if shown and self.seen is not None else None,
        )
