"""Who takes part when: the contract of schedules, and the synchronous one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.round import Ids
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream

Mask = NDArray[np.bool_]

AHEAD = 64
"""The number of members that are met, at least, before a choice looks for members of one kind."""


class Schedule(ABC):
    """Decides whose messages a server hears in which round, and how old the models are that they come from."""

    @abstractmethod
    def sample(self, number: int) -> tuple[Ids, Ids]:
        """The malicious and the honest members of round `number`, each in ascending order."""

    def started(self, number: int) -> Ids | None:
        """For each member the number of the server's steps after which it began, [members].

        None when all members begin with the newest model.
        """
        return None

    @abstractmethod
    def advance(self, number: int) -> None:
        """Take note that the server has made its step in round `number`."""


class Synchronous(Schedule):
    """A round waits for all members who were chosen for it."""

    def __init__(self, setup: Setup) -> None:
        self._members, self._settings, self._rng = setup.members, setup.settings, setup.rng["sampling"]
        self._seed = setup.seed
        self._all: tuple[Mask, Ids, Ids] | None = None  # those who are present, by kind, where all take part

    def sample(self, number: int) -> tuple[Ids, Ids]:
        present, malicious = self._members.present(), self._members.malicious
        everybody = self._members.presence
        if self._members.sharing:
            return self._few(number, present, everybody)
        if self._settings.participation_sampling == "poisson":
            chosen = np.flatnonzero(present & (self._rng.random(len(self._members)) < self._settings.participation))
            mask = malicious[chosen]
            return chosen[mask], chosen[~mask]
        k = self._settings.sampled(everybody)
        if k == everybody:
            if self._all is None or self._all[0] is not present:
                self._all = present, np.flatnonzero(present & malicious), np.flatnonzero(present & ~malicious)
            return self._all[1].copy(), self._all[2].copy()
        order = self._rng.permutation(len(self._members))
        order = order[present[order]]
        if self._settings.malicious_per_round == "sampled":
            chosen = np.sort(order[:k])
        else:
            bad, good = order[malicious[order]], order[~malicious[order]]
            rows = self._settings.malicious_rows(len(bad), everybody)
            chosen = np.sort(np.concatenate([bad[:rows], good[: k - rows]]))
        mask = malicious[chosen]
        return chosen[mask], chosen[~mask]

    def _few(self, number: int, present: Mask, everybody: int) -> tuple[Ids, Ids]:
        """The same choice where members share samples, so that there may be very many; see
        :mod:`robustfl.federation.clients.batches`.

        A random order of the members is followed as far as it is needed. Where it has to be followed far, because few
        members are of the kind that is wanted, the rest is drawn from those that are left, which is the same by chance.
        """
        settings, malicious = self._settings, self._members.malicious
        rng = stream(self._seed, f"who takes part in round {number}")
        poisson = settings.participation_sampling == "poisson"
        k = int(rng.binomial(everybody, settings.participation)) if poisson else settings.sampled(everybody)
        if k == everybody:
            return np.flatnonzero(present & malicious), np.flatnonzero(present & ~malicious)
        met = rng.integers(len(malicious), size=min(4 * k + AHEAD, 2 * len(malicious)))
        met = met[np.sort(np.unique(met, return_index=True)[1])]
        met = met[present[met]]
        if settings.malicious_per_round == "sampled":
            chosen = _first(met, k, present, rng)
            return np.sort(chosen[malicious[chosen]]), np.sort(chosen[~malicious[chosen]])
        rows = settings.malicious_rows(int((present & malicious).sum()), everybody)
        bad = _first(met[malicious[met]], rows, present & malicious, rng)
        good = _first(met[~malicious[met]], k - rows, present & ~malicious, rng)
        return np.sort(bad), np.sort(good)

    def advance(self, number: int) -> None:
        """Do nothing, because nothing is kept from round to round."""


def _first(met: Ids, count: int, able: Mask, rng: np.random.Generator) -> Ids:
    """The first `count` of the members that were met; if there are fewer, the rest by chance from all that are able."""
    if len(met) >= count:
        return met[:count]
    left = able.copy()
    left[met] = False
    more: Ids = rng.choice(np.flatnonzero(left), count - len(met), replace=False)
    return np.concatenate([met, more])
