"""Who takes part when: the contract of schedules, and the synchronous one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from robustfl.federation.round import Ids
from robustfl.federation.setup import Setup


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

    def sample(self, number: int) -> tuple[Ids, Ids]:
        present, malicious = self._members.present(), self._members.malicious
        everybody = int(present.sum())
        if self._settings.participation_sampling == "poisson":
            chosen = np.flatnonzero(present & (self._rng.random(len(self._members)) < self._settings.participation))
            mask = malicious[chosen]
            return chosen[mask], chosen[~mask]
        k = self._settings.sampled(everybody)
        if k == everybody:
            return np.flatnonzero(present & malicious), np.flatnonzero(present & ~malicious)
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

    def advance(self, number: int) -> None:
        """Do nothing, because nothing is kept from round to round."""
