"""The families of rules for peers: by fixed weights, by distances from the own model, by all distances, by columns."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.neighbourhoods.gathering import Gathering
from robustfl.aggregation.neighbourhoods.mixer import Mixer, Mixing


@dataclass(frozen=True, kw_only=True)
class LinearMixer(Mixer):
    """A rule whose shares follow from the gossip weights alone: one pass over the letters."""

    family: ClassVar[str] = "peers, linear"
    by_columns: ClassVar[bool] = True

    @abstractmethod
    def shares(self, w: Floats, b: int) -> Floats:
        """The shares [g, m] of the letters, the own one first, for gossip weights w [g, m] and the bound b."""

    @final
    def _mix(self, gathering: Gathering) -> Mixing:
        return Mixing([np.asarray(self.shares(group.weights, group.b)) for group in gathering.groups])


@dataclass(frozen=True, kw_only=True)
class StarMixer(Mixer):
    """A rule whose shares follow from the distances between a peer and its neighbours: two passes over the letters."""

    family: ClassVar[str] = "peers, star"
    by_columns: ClassVar[bool] = True

    @abstractmethod
    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        """The shares [g, k + 1] of the letters, the own one first, for g peers with k neighbours each.

        `distances` [g, k] are ``||x_i - x_j||``, `w` [g, k] the gossip weights of the neighbours (what they leave is
        the own weight), and at most `b` <= k of the neighbours are malicious. Neighbours stand in the order of their
        ids: sort with `kind="stable"`, and ties go to the lower id.
        """

    @final
    def _mix(self, gathering: Gathering) -> Mixing:
        shares = []
        for number, group in enumerate(gathering.groups):
            distances = np.sqrt(gathering.squared_distances(number))
            shares.append(np.asarray(self.weights(distances, group.weights[:, 1:], group.b)))
        return Mixing(shares)


@dataclass(frozen=True, kw_only=True)
class GramMixer(Mixer):
    """A rule whose shares follow from all distances in a neighbourhood: two passes over the letters."""

    family: ClassVar[str] = "peers, geometric"
    by_columns: ClassVar[bool] = True

    @abstractmethod
    def weights(self, grams: Floats, w: Floats, b: int) -> Floats:
        """The shares [g, m] of the letters, the own one first, for g peers with m letters each.

        `grams` [g, m, m] are the inner products ``<x_p - x_i, x_q - x_i>`` around the own letter, whose row and column
        are therefore 0; `w` [g, m] are the gossip weights, and at most `b` of the neighbours are malicious.
        """

    @final
    def _mix(self, gathering: Gathering) -> Mixing:
        shares = []
        for number, group in enumerate(gathering.groups):
            squares = gathering.squared_pairs(number)
            grams = (squares[:, :, :1] + squares[:, :1, :] - squares) / 2.0
            shares.append(np.asarray(self.weights(grams, group.weights, group.b)))
        return Mixing(shares)


@dataclass(frozen=True, kw_only=True)
class ColumnMixer(Mixer):
    """A rule that treats every column of a neighbourhood on its own: one pass over the letters."""

    family: ClassVar[str] = "peers, column-wise"
    by_columns: ClassVar[bool] = True

    @abstractmethod
    def columns(self, block: Array, b: int, ops: Kernels) -> Array:
        """The result [B] of a block of columns [m, B] of one neighbourhood, the own letter in the first row.

        A rule that only asks `ops` for a median or a trimmed mean of the block is asked once for all peers of a group,
        and kernels do the rest. Other rules are called for every peer.
        """

    @final
    def _mix(self, gathering: Gathering) -> Mixing:
        works = [partial(self._columns, b=group.b) for group in gathering.groups]
        return Mixing(fill=partial(gathering.columnwise, works, [None] * len(works)))

    def _columns(self, block: Array, ops: Kernels, *, b: int) -> Array:
        return self.columns(block, b, ops)
