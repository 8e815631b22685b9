"""Applies faults where they strike: the data, the models that clients compute with, their messages, and the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.round import Receiver, Round
from robustfl.federation.streams import stream
from robustfl.federation.task import Population
from robustfl.threats.faults import Delivery, Fault, FaultRun, LocalData

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Faults:
    """All faults of a simulation.

    Each fault has random streams of its own, named after the fault and its place among the faults of this name, so one
    fault never depends on the others. What happens to messages is remembered separately for each receiver. With the
    same seed, a dropout of 20 % loses all the messages that a dropout of 10 % loses, and some more.

    Parameters
    ----------
    faults : the faults, in the order in which they happen within a stage
    clients : the number of clients
    channel : the name of the defense's channel
    seed : the seed of the simulation

    Raises
    ------
    ParameterError : a fault cannot happen to messages of this channel
    """

    def __init__(self, faults: Sequence[Fault], clients: int, channel: str, seed: int) -> None:
        for fault in faults:
            if not fault.fits(channel):
                raise ParameterError(f"{fault!r} cannot happen to clients of the channel {channel!r}. Leave it out.")
        names = [fault.name for fault in faults]
        keys = [f"fault {name} {names[:place].count(name)}" for place, name in enumerate(names)]
        self._begin: Callable[[], list[FaultRun]] = lambda: [
            FaultRun(fault, clients, partial(_named, seed, key)) for fault, key in zip(faults, keys, strict=True)
        ]
        self._courses = self._begin()
        self._courses_of: dict[Hashable, list[FaultRun]] = {"server": self._courses}
        self.mailboxes: dict[Hashable, Mailbox] = {}
        self._network = any(fault.strikes("network") for fault in faults)
        self._ages = any(fault.strikes("age") for fault in faults)
        self._models: deque[tuple[int, Tensor]] = deque(maxlen=1 + sum(fault.reach() for fault in faults))

    def data(self, population: Population) -> Population:
        """The clients' data after the faults of data; the given population stays as it is.

        Raises
        ------
        ParameterError : no client has any samples left
        """
        striking = [course for course in self._courses if course.fault.strikes("data")]
        if not striking:
            return population
        if population.shared is not None:
            raise ParameterError(
                f"{', '.join(repr(course.fault) for course in striking)} changes what some clients hold, and here "
                "others hold the same samples. Leave it out, or take a partition in which every sample belongs to one "
                "client."
            )
        features, labels, parts = population.features, population.labels, list(population.parts)
        for client, part in enumerate(population.parts):
            index = torch.as_tensor(part, device=population.device)
            own = LocalData(
                features=population.features[index],
                labels=population.labels[index].cpu().numpy(),
                classes=population.classes,
                drawn=np.arange(len(part)),
            )
            before = own
            for course in striking:
                if client in course.struck:
                    own = course.fault.data(own, course.generator(f"data of client {client}"))
            if own.features is not before.features:
                features = features.clone() if features is population.features else features
                features[index] = own.features
            if own.labels is not before.labels:
                labels = labels.clone() if labels is population.labels else labels
                labels[index] = torch.as_tensor(own.labels, device=labels.device)
            parts[client] = part[own.drawn]
        if not any(len(part) for part in parts):
            raise ParameterError(
                f"{', '.join(repr(course.fault) for course in striking)} leaves no client any samples. Lower `share`."
            )
        return population.with_data(features, labels, parts)

    def models(self, weights: Tensor, number: int, ids: Ids) -> Tensor:
        """The models from which clients start: the newest [d] for all, or [k, d], one per client, when some are stale.

        A client never computes with a model from before the first round, nor with one older than the faults' reach.
        """
        if not self._ages:
            return weights
        if not self._models or self._models[-1][0] != number:
            self._models.append((number, weights))  # models are replaced, never changed in place
        ages = np.sum([course.ages(number, ids) for course in self._courses], axis=0).clip(max=len(self._models) - 1)
        return torch.stack([self._models[-1 - age][1] for age in ages.tolist()]) if ages.any() else weights

    def absent(self, number: int, members: int) -> Mask:
        """Which peers of a network take no part in a round: they neither train, nor send, nor mix, [members]."""
        ids, gone = np.arange(members), np.zeros(members, dtype=np.bool_)
        for course in self._courses:
            if course.fault.among_peers == "peers":
                fate = course.fate(number, ids)
                gone |= _any([fate.lost], members) | (_sum([fate.late], members) > 0)
        return gone

    def lost(self, number: int, senders: Ids, receivers: Ids) -> Mask:
        """Which letters [k] between peers get lost in a round."""
        gone = np.zeros(len(senders), dtype=np.bool_)
        for course in self._courses:
            if course.fault.among_peers == "letters":
                gone |= _any([course.fate(number, senders, receivers).lost], len(senders))
        self.mailboxes.setdefault("peers", Mailbox()).lost += int(gone.sum())
        return gone

    def deliver(self, round: Round, receiver: Receiver) -> tuple[Tensor, Ids]:
        """The messages that reach a receiver in this round, and the members who sent them.

        A client occurs twice in the answer when it takes part under a second name.
        """
        return self.delivered(round.number, receiver.arrived, receiver.ids, receiver.who)

    def delivered(self, number: int, messages: Tensor, ids: Ids, receiver: Hashable) -> tuple[Tensor, Ids]:
        """The part of the messages [k, m], sent by these members [k] in round `number`, that reaches a receiver."""
        if receiver not in self._courses_of:
            self._courses_of[receiver] = self._begin()
        courses = self._courses_of[receiver]
        for course in courses:
            messages = course.messages(messages, number, ids)
        if not self._network:
            return messages, ids
        mailbox = self.mailboxes.setdefault(receiver, Mailbox())
        return mailbox.exchange(number, messages, ids, [course.fate(number, ids) for course in courses])


@dataclass
class Mailbox:
    """The server's side of an unreliable network.

    From each client the server takes the newest message that has arrived. It never takes a message that is as old as,
    or older than, one that it took before. Copies, late copies and messages that overtook each other therefore change
    nothing. Messages are filed by client, so the order of arrival does not matter either.

    `lost` counts messages that never arrived, `late` those that were used after their round, and `surplus` those that
    were not used because there was a newer one.
    """

    lost: int = 0
    late: int = 0
    surplus: int = 0
    _expected: dict[int, list[tuple[int, Ids, Tensor]]] = field(default_factory=dict)
    _taken: dict[int, int] = field(default_factory=dict)

    def exchange(self, number: int, messages: Tensor, ids: Ids, fates: Sequence[Delivery]) -> tuple[Tensor, Ids]:
        """The messages that the server gets in round `number`, when [k, d] are sent, and their senders [m]."""
        lost = _any([fate.lost for fate in fates], len(ids))
        late = _sum([fate.late for fate in fates], len(ids))
        self.lost += int(lost.sum())
        self._post(number, messages, ids, late, ~lost)
        for fate in fates:
            if fate.again is not None:
                self._post(number, messages, ids, late + fate.again, ~lost & (fate.again > 0))
        newest: dict[int, tuple[int, Tensor]] = {}
        for sent, senders, rows in self._expected.pop(number, []):
            for client, row in zip(senders.tolist(), rows, strict=True):
                known = newest[client][0] if client in newest else self._taken.get(client, -1)
                self.surplus += sent <= known or client in newest
                if sent > known:
                    newest[client] = (sent, row)
        self.late += sum(sent < number for sent, _ in newest.values())
        self._taken |= {client: sent for client, (sent, _) in newest.items()}
        order = [client for client in ids.tolist() if client in newest]
        order += sorted(newest.keys() - set(order))
        twice = _any([fate.twice for fate in fates], len(ids))
        order += [client for client in ids[twice].tolist() if client in newest]
        rows = torch.stack([newest[client][1] for client in order]) if order else messages[:0]
        return rows, np.array(order, dtype=np.int64)

    def report(self) -> dict[str, int]:
        """The counts `late_rows` and `surplus_rows` where they are not zero; `lost` is reported elsewhere."""
        return {f"{name}_rows": count for name, count in (("late", self.late), ("surplus", self.surplus)) if count}

    def _post(self, number: int, messages: Tensor, ids: Ids, late: Ids, kept: Mask) -> None:
        """File the messages that are on their way under the round in which they will arrive."""
        for delay in np.unique(late[kept]).tolist():
            going = kept & (late == delay)
            rows = messages[torch.as_tensor(going, device=messages.device)]
            self._expected.setdefault(number + delay, []).append((number, ids[going], rows))


def told_apart(names: list[int]) -> list[int]:
    """The names [n], in which a client that takes part a second time has a second, negative name."""
    if len(set(names)) == len(names):
        return names
    seen: set[int] = set()
    apart: list[int] = []
    for name in names:
        apart.append(-1 - name if name in seen else name)
        seen.add(name)
    return apart


def _named(seed: int, key: str, purpose: str) -> np.random.Generator:
    return stream(seed, f"{key}: {purpose}")


def _any(masks: Sequence[Mask | None], k: int) -> Mask:
    result = np.zeros(k, dtype=np.bool_)
    for mask in masks:
        if mask is not None:
            result |= mask
    return result


def _sum(counts: Sequence[Ids | None], k: int) -> Ids:
    result = np.zeros(k, dtype=np.int64)
    for count in counts:
        if count is not None:
            result += count
    return result
