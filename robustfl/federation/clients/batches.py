"""Which samples members learn from in a round: drawn for everybody, or for those who take part.

There are two ways, because results must stay what they are. Where each sample belongs to one client, batches come from
one generator that is run through for all members in every round: all published results were made so. Where clients
share samples there may be a million of them, and batches are drawn for participants alone, by the seed, the round and
the member. In both ways nobody's batches depend on who takes part, on the defense, or on the attack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.clients.participants import Members
from robustfl.federation.streams import Keyed, stream_seed

Ids = NDArray[np.int64]


class Batches(ABC):
    """The samples on which members train, `samples` of them in a round."""

    @abstractmethod
    def begin(self, number: int, samples: int, attacking: bool) -> None:
        """Begin round `number`, once; `attacking` says whether malicious members use what their attack chooses."""

    @abstractmethod
    def of(self, ids: Ids) -> Ids:
        """The places [k, samples] of the samples of these members in the round that has begun."""


class DrawnForAll(Batches):
    """All batches of a round come from one generator, in the order of the members."""

    def __init__(self, members: Members, rng: np.random.Generator) -> None:
        self._members, self._rng = members, rng
        self._drawn: Ids = np.empty((len(members), 0), dtype=np.int64)

    def begin(self, number: int, samples: int, attacking: bool) -> None:
        self._drawn = self._members.draw(self._rng, samples, attacking)

    def of(self, ids: Ids) -> Ids:
        found: Ids = self._drawn[ids]
        return found


class DrawnForParticipants(Batches):
    """The batch of a member is drawn when it is asked for; it follows from the seed, the round and the member."""

    def __init__(self, members: Members, seed: int, purpose: str) -> None:
        self._members, self._seed, self._purpose = members, seed, purpose
        self._numbers, self._samples, self._attacking = Keyed(0), 0, False

    def begin(self, number: int, samples: int, attacking: bool) -> None:
        self._numbers = Keyed(stream_seed(self._seed, f"{self._purpose}, round {number}"))
        self._samples, self._attacking = samples, attacking

    def of(self, ids: Ids) -> Ids:
        return self._members.drawn(ids, self._numbers.uniform(ids, self._samples), self._attacking)


def batches_for(members: Members, rng: np.random.Generator, seed: int, purpose: str) -> Batches:
    """The batches of a simulation's members; `purpose` names what is drawn by seed, and `rng` draws for everybody."""
    return DrawnForParticipants(members, seed, purpose) if members.sharing else DrawnForAll(members, rng)
