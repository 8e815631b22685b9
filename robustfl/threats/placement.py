"""The contract of placements: which peers of a network are malicious, or who is joined by malicious peers.

A placement stands before an attack, as in `Cut() >> SignFlip()`, in front of identities and poisonings. It decides
where the malicious peers are, and the attack decides what they send.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from robustfl.components import Component
from robustfl.errors import AttackError, ParameterError
from robustfl.graphs.graph import Graph, Nodes
from robustfl.threats.attack import Attack, CarriedOut
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.identities import Identities, SybilAttack


@dataclass(frozen=True, kw_only=True)
class Placement(Component, ABC):
    """Where malicious peers are in a network.

    A placement compromises peers of the network (:meth:`choose`), or joins the network from outside (:meth:`attach`).
    A chosen placement is never drawn again to make it harmless: also one that cuts the honest peers into parts stands.
    """

    surface: ClassVar[str] = "placement"

    @final
    def choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Nodes:
        """The numbers of the f peers that are malicious, [f], the most wanted first.

        Parameters
        ----------
        graph : the network, of which the adversary knows all edges
        f : number of malicious peers, 0 <= f < n
        rng : where chance comes from

        Raises
        ------
        ParameterError : f is out of range, or the placement joins networks from outside alone
        AttackError : the placement broke its contract
        """
        if not 0 <= f < graph.n:
            raise ParameterError(
                f"{type(self).__name__}: `f` should satisfy 0 <= f < {graph.n}, the number of peers. Found f={f}. "
                "Use fewer malicious peers."
            )
        if not f:
            return np.empty(0, dtype=np.int64)
        found = np.asarray(self._choose(graph, f, rng))
        fits = found.shape == (f,) and found.dtype.kind in "iu" and len(set(found.tolist())) == f
        if not fits or found.min() < 0 or found.max() >= graph.n:
            raise AttackError(
                f"{type(self).__name__} should choose {f} different peers of {graph.n}. Found {found.tolist()}."
            )
        return found.astype(np.int64)

    @final
    def attach(self, graph: Graph, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """The honest neighbours of each of `count` malicious peers from outside, ascending.

        A placement that knows how many peers it needs asks for `count` by :meth:`outside`.

        Raises
        ------
        ParameterError : `count` is out of range
        AttackError : the placement broke its contract
        """
        if count < 0:
            raise ParameterError(f"{type(self).__name__}: `count` should satisfy count >= 0. Found count={count}.")
        if not count:
            return []
        found = [tuple(sorted(int(peer) for peer in peers)) for peers in self._attach(graph, count, rng)]
        for peers in found:
            if not peers or len(set(peers)) < len(peers) or peers[0] < 0 or peers[-1] >= graph.n:
                raise AttackError(
                    f"{type(self).__name__} should attach each peer to different ones of {graph.n}. Found {peers}."
                )
        if len(found) != count:
            raise AttackError(f"{type(self).__name__} should attach {count} peers. Found {len(found)}.")
        return found

    def outside(self, graph: Graph) -> int | None:
        """How many peers :meth:`attach` needs; None if any number will do, as by default."""
        return None

    @abstractmethod
    def _choose(self, graph: Graph, f: int, rng: np.random.Generator) -> Any:
        """The numbers of f different peers, 1 <= f < n; raises ParameterError when it cannot choose."""

    def _attach(self, graph: Graph, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """Each newcomer takes the neighbours of one of the chosen peers, so that it stands beside it."""
        beside = self.choose(graph, min(count, graph.n - 1), rng) if graph.n > 1 else np.zeros(1, dtype=np.int64)
        places = [int(beside[number % len(beside)]) for number in range(count)]
        return [tuple(graph.neighbours(place).tolist()) or (place,) for place in places]

    def __rshift__(self, attack: Any) -> Any:
        """The attack, carried out by peers at these places; identities wait for the attack that follows."""
        if isinstance(attack, Identities):
            return PlacedIdentities(place=self, first=attack)
        if not isinstance(attack, Attack | SybilAttack):
            raise ParameterError(f"{self!r} should stand before an attack on the training. Found {attack!r}.")
        return PlacedAttack(first=self, then=attack)


@dataclass(frozen=True, kw_only=True)
class PlacedIdentities:
    """Places and identities to which an attack is added: `Cut() >> Clones()`."""

    place: Placement
    first: Identities

    def __rshift__(self, attack: Any) -> PlacedAttack:
        """The attack, carried out by these identities at these places."""
        return PlacedAttack(first=self.place, then=self.first >> attack)


@dataclass(frozen=True, kw_only=True, repr=False)
class PlacedAttack(CarriedOut, Component):
    """An attack by peers at chosen places of a network: `Cut() >> SignFlip()`."""

    first: Placement
    then: Attack | SybilAttack

    def __rshift__(self, attack: Any) -> PlacedAttack:
        """The same places with one more stage of the attack: `Cut() >> BadNets() >> ModelReplacement()`."""
        if not isinstance(self.then, SybilAttack | DataPoisoning):
            raise ParameterError(f"Only a poisoning of data stands before another attack. Found {self.then!r}.")
        return PlacedAttack(first=self.first, then=self.then >> attack)


def placed(attack: Attack | SybilAttack | PlacedAttack | None) -> tuple[Placement | None, Attack | SybilAttack | None]:
    """The placement and the attack; None when the places are left to chance, and None when nobody attacks."""
    return (attack.first, attack.then) if isinstance(attack, PlacedAttack) else (None, attack)
