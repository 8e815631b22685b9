"""Which letters are usable: hostile ones are refused with a reason, and what they lose goes to the own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods.gathering import Group, Groups
from robustfl.aggregation.neighbourhoods.letters import ABSENT, Flags, Hoods, Integers, Letters
from robustfl.aggregation.updates.ids import MISSING
from robustfl.aggregation.updates.source import largest_magnitude
from robustfl.errors import UpdatesError

TWICE = "duplicate id"
"""The reason for the rejection of letters under one id: nobody can see which of them is its owner's."""

STRANGER = "no neighbour"
"""The reason for the rejection of a letter from somebody whom the receiver does not know."""


MOST_KNOWN = 16
"""The number of things that are remembered about neighbourhoods: letters that differ every time are no reason to keep
all that there ever were."""


@dataclass
class Clean:
    """The neighbourhoods after every letter was looked at.

    Attributes
    ----------
    usable : [n, m] the letters that rules may see
    weights : [n, m] the gossip weights, of sum 1 over the usable letters
    bounds : [n] the bounds, one less for each malformed letter, and at most the number of usable letters
    reasons : line -> slot -> why the letter there is not used
    kept : line -> why this peer keeps its model, whatever the rule
    """

    usable: Flags
    weights: Floats
    bounds: Integers
    reasons: dict[int, dict[int, str]]
    kept: dict[int, str]

    @cached_property
    def kinds(self) -> list[tuple[int, int, NDArray[np.int64]]]:
        """The peers who mix: how many usable letters (their own among them), which bound, and the lines of these."""
        heard, mixes = self.usable.sum(axis=1), self.mixing()
        found = sorted(set(zip(heard[mixes].tolist(), self.bounds[mixes].tolist(), strict=True)))
        return [(m, b, np.flatnonzero(mixes & (heard == m) & (self.bounds == b))) for m, b in found]

    def mixing(self) -> Flags:
        """Which peers do not keep their models, [n]."""
        mixes = np.ones(len(self.bounds), np.bool_)
        mixes[list(self.kept)] = False
        return mixes

    def copy(self) -> Clean:
        """The same, with what others may change in copies."""
        other = replace(self, reasons={line: dict(slots) for line, slots in self.reasons.items()}, kept=dict(self.kept))
        other.__dict__["kinds"] = self.kinds
        return other


def sanitised(letters: Letters, hoods: Hoods, faults: Mapping[int, str]) -> Clean:
    """Look at every letter; `faults` are the rows that are known to be malformed, with the reasons.

    A letter that is malformed (not finite, of a wrong shape or type, or too large to be summed) is its sender's doing,
    so its sender is one of the b that the receiver expected, and b falls by one. Letters that are missing, come from a
    stranger, or share their sender's id with another letter do not lower b: they may be the work of the network, or of
    somebody who writes under an honest peer's name.
    """
    if hoods.last >= len(letters):
        raise UpdatesError(f"`index` names row {hoods.last}. There are {len(letters)} letters.")
    if faults:
        return _looked_at(hoods, faults)
    if sanitised not in hoods.known:
        hoods.known[sanitised] = _looked_at(hoods, faults)
    clean: Clean = hoods.known[sanitised].copy()
    return clean


def _looked_at(hoods: Hoods, faults: Mapping[int, str]) -> Clean:
    index, senders = hoods.index, hoods.senders
    sender, arrived = senders != ABSENT, index != ABSENT
    missing = sender & ~arrived
    unknown = arrived & hoods.strangers
    twice = arrived & ~unknown & _repeated(senders, arrived & ~unknown)
    candidates = arrived & ~unknown & ~twice
    malformed = candidates & np.isin(index, list(faults))
    usable = candidates & ~malformed
    reasons: dict[int, dict[int, str]] = {}
    for line, slot in np.argwhere(missing | unknown | twice | malformed).tolist():
        if missing[line, slot]:
            reason = MISSING
        elif unknown[line, slot]:
            reason = STRANGER
        elif twice[line, slot]:
            reason = TWICE
        else:
            reason = faults[int(index[line, slot])]
        reasons.setdefault(line, {})[slot] = reason
    kept = {int(line): "its own model is " + reasons[int(line)][0] for line in np.flatnonzero(~usable[:, 0])}
    heard = usable[:, 1:].sum(axis=1)
    kept |= {int(line): "no usable letters" for line in np.flatnonzero(heard == 0) if int(line) not in kept}
    weights = np.where(usable, hoods.weights, 0.0)
    weights[:, 0] = np.maximum(1.0 - weights[:, 1:].sum(axis=1), 0.0)
    bounds = np.clip(hoods.bounds - malformed[:, 1:].sum(axis=1), 0, heard)
    return Clean(usable, weights, bounds, reasons, kept)


def _repeated(senders: Integers, arrived: Flags) -> Flags:
    """The letters [n, m] that share their sender's id with another letter, or that come under the receiver's own."""
    names = np.where(arrived, senders, ABSENT - 1 - np.arange(senders.shape[1]))  # different in every other slot
    order = np.argsort(names, axis=1, kind="stable")
    ordered = np.take_along_axis(names, order, axis=1)
    same = ordered[:, 1:] == ordered[:, :-1]
    either = np.zeros(senders.shape, np.bool_)
    either[:, 1:] |= same
    either[:, :-1] |= same
    found = np.empty_like(either)
    np.put_along_axis(found, order, either, axis=1)
    found[:, 0] = False  # the peer knows its own model, whoever writes under its name
    return found


def suspects(letters: Letters, hoods: Hoods) -> tuple[NDArray[np.int64], float]:
    """The rows that somebody is about to read, and the largest magnitude that a number in them may have."""
    rows = hoods.read[hoods.read < len(letters)]
    if letters.faults:
        rows = rows[~np.isin(rows, list(letters.faults))]
    return rows, largest_magnitude(str(letters.rows.dtype), hoods.m, letters.total_columns)


def grouped(hoods: Hoods, clean: Clean, lines: NDArray[np.int64], bounds: Integers) -> Groups:
    """The peers of these lines, in groups of the same number of usable letters and the same bound [len(lines)].

    Neighbours stand in the order of their ids, so that what decides ties is no attacker's choice. Rules can read the
    arrays of a group, and not write to them: where all letters are clean, the next mixing has the same ones.
    """
    key = grouped, clean.usable.tobytes(), lines.tobytes(), bounds.tobytes()
    if key in hoods.known:
        found: Groups = hoods.known[key]
        return found
    heard = clean.usable[lines].sum(axis=1)
    groups = []
    for m, b in sorted(set(zip(heard.tolist(), bounds.tolist(), strict=True))):
        members = lines[(heard == m) & (bounds == b)]
        far = np.iinfo(np.int64).max
        keys = np.where(clean.usable[members], hoods.senders[members], far)
        keys[:, 0] = ABSENT
        slots = np.argsort(keys, axis=1, kind="stable")[:, :m]
        parts = [np.take_along_axis(part[members], slots, 1) for part in (hoods.index, hoods.senders, clean.weights)]
        for part in (members, slots, *parts):
            part.setflags(write=False)
        groups.append(Group(members, slots, parts[0], parts[1], parts[2], int(b)))
    if len(hoods.known) < MOST_KNOWN:
        hoods.known[key] = Groups(groups)
    return Groups(groups)
