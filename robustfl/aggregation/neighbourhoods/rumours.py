"""What peers tell each other about third ones, the second kind of letter: which of it a receiver believes.

A rumour goes over the edge between its teller and its receiver, so a receiver knows who has told it, and nothing else:
everything that stands in a rumour may be invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.neighbourhoods.letters import vector
from robustfl.aggregation.updates.source import largest_magnitude

NEAREST = 2
"""The distance of the nearest peer about whom rumours can be: a neighbour's neighbour."""

HEARD_FROM = 128
"""A receiver remembers what each neighbour has told about so many others at most; the oldest is forgotten."""


@dataclass(frozen=True)
class Rumour:
    """What a peer tells one of its neighbours about a third peer.

    Attributes
    ----------
    teller : the id of the neighbour who tells it
    subject : the id of the peer that it is about
    round : the number of the round in which the subject's neighbour got the letter behind it
    distance : the number of edges from the receiver to the subject over which it came, at least 2
    payload : [d] what is told, such as the sum of the subject's steps

    Ids are whole numbers in a mixing of many peers, and the caller's own names around `mix_one` and `tell_one`.
    """

    teller: Any
    subject: Any
    round: int
    distance: int
    payload: Any


@dataclass(frozen=True)
class Refused:
    """A rumour that its receiver did not believe, and why; ids that cannot be read are -1."""

    teller: Any
    subject: Any
    reason: str


Rumours = Mapping[int, Sequence[Rumour]]
"""receiver -> what it is told in one mixing, of which each entry may be anything."""


@dataclass(frozen=True)
class Receiver:
    """Who reads rumours: its id, the neighbours whose letters count, and what it remembers of their rumours.

    `told` maps (teller, subject) to the newest round that this teller has told about this subject.
    """

    peer: int
    heard: Container[int]
    told: Mapping[tuple[int, int], int]


def believed(
    rumours: Sequence[Any], receiver: Receiver, number: int, like: Array, most: int, farthest: int | None = None
) -> tuple[list[Rumour], list[Refused]]:
    """The rumours that the receiver can use, with payloads of the type of `like` [d], and the refused ones.

    `number` is the round, `most` the number of rumours that a teller may tell in one mixing, and `farthest` the largest
    distance. A teller who tells more has all of its rumours refused: nobody can see which of them are its own.
    """
    found: list[Rumour] = []
    refused: list[Refused] = []
    counts = Counter(_whole(getattr(rumour, "teller", None)) for rumour in rumours)
    limit = largest_payload(like)
    for rumour in rumours:
        teller, subject, at, distance = (
            _whole(getattr(rumour, name, None)) for name in ("teller", "subject", "round", "distance")
        )
        reason = None
        if not isinstance(rumour, Rumour):
            reason = f"unreadable ({type(rumour).__name__})"
        elif min(teller, subject, at, distance) < 0:
            reason = "unreadable: ids, the round and the distance should be whole numbers >= 0"
        elif teller not in receiver.heard:
            reason = "told by nobody whose letter counts"
        elif counts[teller] > most:
            reason = f"one of {counts[teller]} from one teller, who may tell {most}"
        elif subject == receiver.peer:
            reason = "about its receiver"
        elif subject == teller:
            reason = "about its teller, who has sent a letter"
        elif distance < NEAREST or (farthest is not None and distance > farthest):
            reason = f"of the distance {distance}, from which no rumour can come"
        elif at > number:
            reason = f"of round {at}, which has not been played"
        elif at < receiver.told.get((teller, subject), 0):
            reason = f"of round {at}, and its teller has told of a later one before"
        if reason is None:
            payload = readable(rumour.payload, like, limit)
            if isinstance(payload, str):
                reason = payload
            else:
                found.append(Rumour(teller, subject, at, distance, payload))
        if reason is not None:
            refused.append(Refused(max(teller, -1), max(subject, -1), reason))
    return found, refused


def _whole(value: Any) -> int:
    """The value as a number of at most 63 bits; -1 if it is no whole number >= 0."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    return int(value) if whole and 0 <= int(value) < 2**63 else -1


def largest_payload(like: Array) -> float:
    """The largest magnitude of a number that is told, so that sums of many payloads like `like` [d] are finite."""
    return largest_magnitude(str(like.dtype), HEARD_FROM, len(like))


def readable(payload: Any, like: Array, limit: float) -> Array | str:
    """The payload as an array like `like`, or why it is none; one that has the right type already is not copied."""
    values = vector(payload, len(like))
    if isinstance(values, str):
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        row: Array = np.asarray(values, like.dtype)
        largest = float(np.abs(row).max(initial=0.0))
    if not np.isfinite(largest):
        return "not finite"
    return row if largest <= limit else "too large"
