"""The contract of families of graphs: one graph of so many peers, connected or refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.graphs.graph import Graph

DRAWS = 100
"""How many random graphs are drawn until one is connected."""

PAIR = ((0, 1),)
"""The edges of the only connected graph of two peers."""


@dataclass(frozen=True, kw_only=True)
class GraphFamily(Component, ABC):
    """A family of graphs of any number of peers, under the name by which scenarios choose their network.

    Every graph is connected. One peer alone and two peers with one edge are the same in every family.
    """

    random: ClassVar[bool] = False
    """Whether graphs are drawn by chance, so that one that falls apart is drawn again."""

    from_file: ClassVar[bool] = False
    """Whether the graph is somebody's own, so that it is read for one peer and for two peers as well."""

    def period(self, clients: int) -> int:
        """After how many rounds the graphs repeat; 1 if all rounds have the same graph, as by default."""
        return 1

    @final
    def draw(self, clients: int, rng: np.random.Generator, *, number: int = 0, root: Path | None = None) -> Graph:
        """The graph of `clients` peers in round `number`.

        A random graph is drawn up to 100 times until it is connected. Where the graph depends on the round, the graphs
        of one period together are connected, and single ones may not be.

        Parameters
        ----------
        clients : number of peers, >= 1
        rng : where chance comes from
        number : the round, >= 0
        root : a folder with data files, for graphs from files

        Raises
        ------
        ParameterError : the family has no graph of so many peers, or none was connected
        DataError : a file with a graph is missing or wrong
        """
        if clients < 1:
            raise ParameterError(f"{type(self).__name__}: `clients` should satisfy clients >= 1. Found {clients}.")
        if clients <= len(PAIR[0]) and not self.from_file:
            return Graph(n=clients, edges=PAIR[: clients - 1])
        counts: list[int] = []
        for _ in range(DRAWS if self.random else 1):
            graph = self._draw(clients, rng, number, root)
            if self.period(clients) > 1 or graph.connected:
                return graph
            counts.append(1 + int(graph.parts().max()))
        few, many = min(counts), max(counts)
        found = f"{few} to {many} parts" if few < many else f"{few} parts"
        raise ParameterError(f"{self._told()} gave {found} for {clients} peers; {self._remedy(clients)}.")

    @abstractmethod
    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        """A graph of `clients` peers, connected or not; raises ParameterError when there is none.

        Unless it is from a file, there are 3 peers or more.
        """

    def _told(self) -> str:
        """The family with the parameter on which it depends whether its graphs are connected."""
        return f"{type(self).__name__}"

    def _remedy(self, clients: int) -> str:
        """How to get a connected graph of so many peers, as the end of a sentence."""
        return "join all of them"
