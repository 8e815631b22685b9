"""The samples of clients that share them: computed when somebody asks, so that a million clients take no memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import index
from typing import overload

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.streams import Keyed

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

TINY = 1e-300
"""The smallest concentration whose logarithms fit into floats; below it, as at it, a client has one class."""

TOGETHER = 4096
"""The number of clients whose samples are computed at a time where those of all clients are asked for."""


class OverlappingParts(Sequence[Indices]):
    """The sorted sample indices of each client, where every client draws its own and may hold those of others as well.

    It reads as a list of one array [samples] per client does. Nothing is kept: the samples of a client follow from its
    number alone.

    Parameters
    ----------
    labels : [N] the class numbers of all training samples
    clients : the number of clients
    samples : the number of samples that each of them draws, with replacement
    alpha : the concentration of the classes at each client; None when clients draw from all samples alike
    key : decides what is drawn
    """

    def __init__(self, labels: Indices, clients: int, samples: int, alpha: float | None, key: int) -> None:
        self._clients, self._samples, self._alpha, self._drawn = clients, samples, alpha, Keyed(key)
        self._order = np.argsort(labels, kind="stable")
        self._counts = np.unique(labels, return_counts=True)[1]
        self._starts = np.cumsum(self._counts) - self._counts
        self._kept: Mask | None = None
        self._places: Indices | None = None

    def __len__(self) -> int:
        return self._clients

    @overload
    def __getitem__(self, client: int) -> Indices: ...
    @overload
    def __getitem__(self, client: slice) -> Sequence[Indices]: ...
    def __getitem__(self, client: int | slice) -> Indices | Sequence[Indices]:
        if isinstance(client, slice):
            return [self[one] for one in range(*client.indices(self._clients))]
        number = index(client)
        if not -self._clients <= number < self._clients:
            raise IndexError(f"There are {self._clients} clients. Found client {number}.")
        drawn = self._all(np.array([number % self._clients]))[0]
        return self._numbered(drawn if self._kept is None else drawn[self._kept[drawn]])

    @cached_property
    def sizes(self) -> Indices:
        """The number of samples of each client, [clients]."""
        if self._kept is None:
            return np.full(self._clients, self._samples, dtype=np.int64)
        ids = np.arange(self._clients)
        pieces = [ids[start : start + TOGETHER] for start in range(0, self._clients, TOGETHER)]
        return np.concatenate([self._kept[self._all(piece)].sum(axis=1) for piece in pieces])

    def kept(self, chosen: Mask, places: Indices | None = None) -> OverlappingParts:
        """The same clients without the samples that `chosen` [N] does not mark; some may be left without samples.

        `places` [N] are the new numbers of the samples; they keep their numbers when it is not given.
        """
        other = object.__new__(OverlappingParts)
        other.__dict__ |= {name: value for name, value in self.__dict__.items() if name != "sizes"}
        numbers = np.arange(len(self._order)) if self._places is None else self._places
        still = chosen[numbers.clip(0, len(chosen) - 1)]
        other._kept = still if self._kept is None else self._kept & still
        other._places = self._places if places is None else places[numbers.clip(0, len(places) - 1)]
        return other

    def held(self, ids: Indices) -> Indices:
        """All samples that any of these clients holds, each once, in ascending order."""
        found = np.zeros(len(self._order), dtype=np.bool_)
        for start in range(0, len(ids), TOGETHER):
            found[self._all(ids[start : start + TOGETHER])] = True
            if found.all():
                break
        return self._numbered(np.flatnonzero(found if self._kept is None else found & self._kept))

    def classes(self, labels: Indices, ids: Indices, classes: int) -> Indices:
        """How many samples of each class each of these clients has, [k, classes], by labels [N] of the samples."""
        counts = np.zeros((len(ids), classes), dtype=np.int64)
        for start in range(0, len(ids), TOGETHER):
            drawn = self._all(ids[start : start + TOGETHER])
            cells = np.arange(len(drawn))[:, None] * classes + labels[self._numbered(drawn)]
            cells = cells if self._kept is None else cells[self._kept[drawn]]
            counts[start : start + len(drawn)] = np.bincount(cells.reshape(-1), minlength=len(drawn) * classes).reshape(
                -1, classes
            )
        return counts

    def draw(self, ids: Indices, uniform: Floats, used: Mask | None = None) -> Indices:
        """Samples [k, m] of these clients [k], drawn with replacement by numbers [k, m] that are uniform on [0, 1).

        `used` [N] marks the only samples that are drawn; a client that holds none of these draws from all of its own.
        The row of a client without samples holds samples of others; the caller must not let it compute.
        """
        drawn = self._all(ids)
        if self._kept is None and used is None:
            return np.take_along_axis(drawn, (uniform * self._samples).astype(np.int64), axis=1)
        allowed = np.ones(drawn.shape, dtype=np.bool_) if self._kept is None else self._kept[drawn]
        if used is not None:
            wanted = allowed & used[self._numbered(drawn)]
            allowed = np.where(wanted.any(axis=1, keepdims=True), wanted, allowed)
        first = np.argsort(~allowed, axis=1, kind="stable")  # the allowed ones come first
        chosen = (uniform * allowed.sum(axis=1, keepdims=True)).astype(np.int64)
        return self._numbered(np.take_along_axis(drawn, np.take_along_axis(first, chosen, axis=1), axis=1))

    def _numbered(self, drawn: Indices) -> Indices:
        return drawn if self._places is None else self._places[drawn].clip(min=0)

    def _all(self, ids: Indices) -> Indices:
        """The samples [k, samples] that these clients have drawn, each row in ascending order."""
        m, count = self._samples, len(self._counts)
        if self._alpha is None:
            return np.sort((self._drawn.uniform(ids, m) * len(self._order)).astype(np.int64), axis=1)
        uniform = self._drawn.uniform(ids, 2 * (count + m))
        mixes = dirichlet(self._alpha * self._counts / self._counts.sum(), uniform[:, : 2 * count])
        below = np.cumsum(mixes, axis=1)[:, :-1]  # the last class begins where the others end
        label = (uniform[:, 2 * count : 2 * count + m, None] >= below[:, None]).sum(axis=2)
        places = self._starts[label] + (uniform[:, 2 * count + m :] * self._counts[label]).astype(np.int64)
        return np.sort(self._order[places], axis=1)


def dirichlet(concentrations: Floats, uniform: Floats) -> Floats:
    """Rows [k, C] from a Dirichlet distribution, made of numbers [k, 2 C] that are uniform on [0, 1).

    Formula: for a gamma variable G of shape a + 1 and a uniform U, ``log G + log(U)/a`` is the logarithm of a gamma
    variable of shape a, and such variables divided by their sum have the Dirichlet distribution. In logarithms no
    concentration is too small.
    """
    from scipy.special import gammaincinv  # slow to import

    shapes, count = np.maximum(concentrations, TINY), len(concentrations)
    logs = np.log(gammaincinv(shapes + 1.0, uniform[:, :count]).clip(min=TINY))
    logs = logs + np.log(1.0 - uniform[:, count:]) / shapes
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
