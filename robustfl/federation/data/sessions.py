"""Sequences of events, made by a generator: what a session is about is the order of three of its events.

>>> from robustfl.federation.data.data_sets import Sessions
>>> sessions = Sessions(samples=300).load()
>>> sessions.input_shape, len(sessions.classes), sessions.classes[0]
((10, 8), 6, 'login, read, send')
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.labels import stratified_split

EVENTS = ("login", "read", "send")
"""The events whose order tells sessions apart; every session has each of them once."""

OWNERS = 12


@dataclass(frozen=True, kw_only=True)
class Sessions(Data):
    """Generated sessions: sequences of events of six kinds, which only the order of three events tells apart.

    Every session holds `login`, `read` and `send` once, at random places, and other events between them. Its class is
    one of the six orders of these three. All classes have the same events in the same numbers, so a model has to look
    at places. There are twelve owners, each of which has its favourite among the other events; `by_client` with twelve
    clients is the natural split. They need no file.

    Shapes: [length, symbols], a one at the event of each place.
    """

    samples: Annotated[int, Ge(60), Le(1_000_000), Doc("number of sessions, for training and test together")] = 4000
    length: Annotated[int, Ge(3), Le(1000), Doc("number of events in a session")] = 10
    others: Annotated[int, Ge(1), Le(1000), Doc("number of kinds of other events")] = 5
    test_fraction: Annotated[float, Gt(0), Lt(1), Doc("share of the sessions kept for the test")] = 0.25
    seed: Annotated[int, Ge(0), Doc("seed of the sessions and of their division")] = 0

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        rng = np.random.default_rng([self.seed, 6])
        orders = np.array(list(permutations(range(len(EVENTS)))))
        y = rng.permutation(np.arange(self.samples) % len(orders))
        owners = rng.permutation(np.arange(self.samples) % OWNERS)
        habits = rng.dirichlet(np.full(self.others, 0.5), size=OWNERS).cumsum(axis=1)
        draws = rng.random((self.samples, self.length))
        events = np.minimum((draws[:, :, None] > habits[owners][:, None]).sum(axis=2), self.others - 1) + len(EVENTS)
        places = np.sort(rng.random((self.samples, self.length)).argsort(axis=1)[:, : len(EVENTS)], axis=1)
        np.put_along_axis(events, places, orders[y], axis=1)
        x = np.eye(len(EVENTS) + self.others, dtype=np.float32)[events]
        train, test = stratified_split(y, self.test_fraction, self.seed)
        return Dataset(
            name=self.name,
            train_x=x[train],
            train_y=y[train],
            test_x=x[test],
            test_y=y[test],
            classes=tuple(", ".join(EVENTS[place] for place in order) for order in orders),
            train_owners=owners[train],
            owners=tuple(f"owner {number}" for number in range(OWNERS)),
        )
