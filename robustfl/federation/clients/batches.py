"""Which samples members learn from in a round: drawn for everybody, or for those who take part.

There are two ways, because results must stay what they are. Where each sample belongs to one client, batches come from
one generator that is run through for all members in every round: all published results were made so. Where clients
share samples there may be a million of them, and batches are drawn for participants alone, by the seed, the round and
the member. In both ways nobody's batches depend on who takes part, on the defense, or on the attack.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.clients.participants import Members
from robustfl.federation.streams import Keyed, stream, stream_seed

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

Ids = NDArray[np.int64]
Taken = tuple["Tensor", "Tensor", "Tensor"]
"""The places [k, steps, batch] of samples, the samples [k, steps, batch, ...] and their labels [k, steps, batch]."""

KEPT_BYTES = 1 << 25
"""The memory for batches that are kept for the next trial with the same clients and seed."""


class Batches(ABC):
    """The samples on which members train, `samples` of them in a round."""

    def __init__(self, members: Members, population: Population) -> None:
        self._members, self._population = members, population

    @abstractmethod
    def begin(self, number: int, samples: int, attacking: bool) -> None:
        """Begin round `number`, once; `attacking` says whether malicious members use what their attack chooses."""

    @abstractmethod
    def of(self, ids: Ids) -> Ids:
        """The places [k, samples] of the samples of these members in the round that has begun."""

    def taken(self, ids: Ids, steps: int) -> Taken:
        """The samples of these members in the round that has begun, over so many local steps, not to be changed."""
        population = self._population
        places = self.of(ids)
        index = torch.as_tensor(places.reshape(-1), device=population.device)
        shape = (len(ids), steps, places.shape[1] // steps)
        features = population.features.index_select(0, index).reshape(*shape, *population.features.shape[1:])
        return index.reshape(shape), features, population.labels.index_select(0, index).reshape(shape)


class Course:
    """What clients draw round by round, kept for the next trial that asks: it depends on the clients and a seed alone.

    Trials of a suite that differ in their defenses and attacks have the same batches. They are drawn and gathered once,
    as far as `KEPT_BYTES` reach; what was kept and what is drawn anew are the same.

    Parameters
    ----------
    population : whose samples are drawn
    rng : the generator that is run through for all clients
    samples : the number of samples of a client in a round
    """

    def __init__(self, population: Population, rng: np.random.Generator, samples: int) -> None:
        self._population, self._rng, self._samples = population, rng, samples
        self._draws: list[Ids] = []
        self._taken: dict[tuple[int, bytes], dict[int, tuple[Taken, int]]] = {}  # by steps and members, then by rounds
        self._room = KEPT_BYTES

    def drawn(self, place: int, own: list[np.random.Generator]) -> Ids:
        """The draw [clients, samples] at a place in the course.

        `own` is empty before the place from which on nothing is kept. Then it holds the caller's own generator.
        """
        if place < len(self._draws):
            return self._draws[place]
        size = 8 * self._population.clients * self._samples
        if own or size * (place + 1) > KEPT_BYTES // 4:
            if not own:
                own.append(copy.deepcopy(self._rng))
            return self._population.draw(own[0], self._samples)
        self._draws.append(self._population.draw(self._rng, self._samples))
        self._draws[place].setflags(write=False)
        return self._draws[place]

    def kept(self, place: int, steps: int, ids: Ids) -> Taken | None:
        """What was kept for these members at a place in the course; None if nothing is, or somebody changed it."""
        found = self._taken.get((steps, ids.tobytes()), {}).get(place)
        return found[0] if found is not None and found[1] == _version(found[0]) else None

    def keep(self, place: int, steps: int, ids: Ids, taken: Taken) -> None:
        """Keep what these members got, as far as there is room; what others got longest ago makes way."""
        key, size = (steps, ids.tobytes()), _bytes(taken)
        if key not in self._taken:
            while self._taken and self._room < size * (1 + max(map(len, self._taken.values()))):
                self._room += sum(_bytes(old) for old, _ in self._taken.pop(next(iter(self._taken))).values())
            self._taken[key] = {}
        if size <= self._room and place not in self._taken[key]:
            self._taken[key][place] = taken, _version(taken)
            self._room -= size


def _version(taken: Taken) -> int:
    """A number that grows with every change that torch makes to what was taken."""
    return sum(part._version for part in taken)


def _bytes(taken: Taken) -> int:
    return sum(part.numel() * part.element_size() for part in taken)


class DrawnForAll(Batches):
    """All batches of a round come from one generator, in the order of the members."""

    def __init__(self, members: Members, population: Population, seed: int, purpose: str) -> None:
        super().__init__(members, population)
        self._key = seed, purpose
        self._course: Course | None = None
        self._place, self._own = -1, list[np.random.Generator]()
        self._drawn: Ids = np.empty((len(members), 0), dtype=np.int64)
        self._changed = False  # whether some members draw in ways of their own

    def begin(self, number: int, samples: int, attacking: bool) -> None:
        if self._course is None:
            kept, key = self._population.kept, ("batches", *self._key, samples)
            if key not in kept:
                kept[key] = Course(self._population, stream(*self._key), samples)
            self._course = kept[key]
        self._place += 1
        drawn = self._course.drawn(self._place, self._own)
        self._drawn = self._members.changed(drawn, attacking)
        self._changed = self._drawn is not drawn

    def of(self, ids: Ids) -> Ids:
        found: Ids = self._drawn[ids]
        return found

    def taken(self, ids: Ids, steps: int) -> Taken:
        assert self._course is not None, "a round has begun"
        if self._changed:
            return super().taken(ids, steps)
        found = self._course.kept(self._place, steps, ids)
        if found is None:
            found = super().taken(ids, steps)
            self._course.keep(self._place, steps, ids, found)
        return found


class DrawnForParticipants(Batches):
    """The batch of a member is drawn when it is asked for; it follows from the seed, the round and the member."""

    def __init__(self, members: Members, population: Population, seed: int, purpose: str) -> None:
        super().__init__(members, population)
        self._seed, self._purpose = seed, purpose
        self._numbers, self._samples, self._attacking = Keyed(0), 0, False

    def begin(self, number: int, samples: int, attacking: bool) -> None:
        self._numbers = Keyed(stream_seed(self._seed, f"{self._purpose}, round {number}"))
        self._samples, self._attacking = samples, attacking

    def of(self, ids: Ids) -> Ids:
        return self._members.drawn(ids, self._numbers.uniform(ids, self._samples), self._attacking)


def batches_for(members: Members, population: Population, seed: int, purpose: str) -> Batches:
    """The batches of a simulation's members, from the random stream of this purpose."""
    return (DrawnForParticipants if members.sharing else DrawnForAll)(members, population, seed, purpose)
