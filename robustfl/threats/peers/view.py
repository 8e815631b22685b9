"""What an attack sees of a network of peers in one round: all peers that it can reach at once, its victims.

A victim is an honest peer with a malicious neighbour. All of them are seen in one :class:`PeerView`, as arrays with one
line for each, so that an attack is arithmetic on matrices and never a loop over peers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.threats.knowledge import Knowledge, RoundFacts, RoundView
from robustfl.threats.updates.view import Lent

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

NOBODY = -1
"""Stands in `around` where a victim has fewer honest neighbours than others, or where one was not seen."""


@dataclass(kw_only=True)
class PeerFacts(RoundFacts["Tensor"]):
    """Everything about one round of a network that concerns letters to honest peers.

    `honest` [r, d] are the models of honest peers after their own steps, and `f` is the number of malicious peers.

    Attributes
    ----------
    victims : [v] the rows of the victims in `honest`
    around : [v, k] the rows of their honest neighbours; -1 where there are fewer, or where one was not seen
    attackers : [v] the number of malicious neighbours of each victim
    bounds : [v] the number of malicious neighbours that each victim's rule is told
    weights : [v, k] the gossip weights of the honest neighbours, 0 where there are none
    say : [v] the gossip weight of each victim's malicious neighbours together
    initial : the model [d] before the first round
    cut : makes the entry of the Fiedler vector of the honest peers' graph for each row of `honest`, [r]
    layers : the sizes of the layers of which a model consists, in order
    knows : says of which classes each victim has samples, [v, C]
    mix : what the victims' rules make of one model [v, d] for each, which all its malicious neighbours send -> [v, d]
    """

    victims: Ids
    around: Ids
    attackers: Ids
    bounds: Ids
    weights: Floats | None = None
    say: Floats | None = None
    initial: Tensor | None = None
    cut: Callable[[], Floats] | None = None
    layers: tuple[int, ...] | None = None
    knows: Callable[[], NDArray[np.bool_]] | None = None
    mix: Callable[[Tensor], Tensor] | None = None


class PeerView(RoundView["Tensor"]):
    """What an attack sees of a round in a network of peers.

    Every attack may see `round`, `f`, `rng`, `memory`, the number `v` of victims, the length `d` of models, the sizes
    of their `layers` (one layer if nobody says), and for each victim `attackers` [v], how many of its neighbours are
    malicious, and `bounds` [v], how many its rule expects. Everything else needs the knowledge that its description
    names. Models of honest peers need PEERS, or NEIGHBOURS for those that malicious peers got themselves; the others
    are then missing from every sum and mean.
    """

    messages: ClassVar[str] = "models"
    _facts: PeerFacts

    def __init__(self, facts: PeerFacts, knowledge: Knowledge, owner: Any, memory: dict[str, Any]) -> None:
        super().__init__(facts, knowledge, owner, memory)
        self.lent = Lent()
        self.v, self.d = len(facts.victims), int(facts.honest.shape[1])
        self.attackers, self.bounds = facts.attackers, facts.bounds
        self.layers = facts.layers or (self.d,)
        around = facts.around
        if Knowledge.PEERS not in knowledge:
            around = np.where(np.isin(around, facts.victims), around, NOBODY)
        self._around = around
        self._models: Tensor | None = None

    def _lend(self, messages: Tensor, what: str) -> Tensor:
        return self.lent.out(messages, what)

    @property
    def models(self) -> Tensor:
        """The victims' own models [v, d], as they send them (needs PEERS or NEIGHBOURS)."""
        self._need_peers("the victims' models")
        if self._models is None:
            self._models = self._facts.honest[self._rows(self._facts.victims)]
        return self._lend(self._models, "the victims' models")

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which honest neighbours of each victim were seen, [v, k] (needs PEERS or NEIGHBOURS)."""
        self._need_peers("the victims' neighbours")
        return np.asarray(self._around != NOBODY)

    def mean(self) -> Tensor:
        """The mean [v, d] of each victim's own model and of those of its honest neighbours (PEERS or NEIGHBOURS)."""
        count = 1.0 + self.known.sum(axis=1)
        own: Tensor = self.models / self._column(count)
        return own + self._combined(self.known / count[:, None])

    def distances(self) -> Tensor:
        """The distance of each victim's model from that of each honest neighbour, [v, k]; infinity where there is none.

        It needs PEERS or NEIGHBOURS.
        """
        own, known = self.models, self.known
        found = own.new_full(known.shape, float("inf"))
        for slot in range(known.shape[1]):
            here = self._rows(np.flatnonzero(known[:, slot]))
            rows = self._facts.honest[self._rows(self._around[known[:, slot], slot])]
            found[here, slot] = (rows - own[here]).norm(dim=1)
        return found

    def farthest(self) -> Tensor:
        """The distance [v] of the honest neighbour that is farthest from each victim; 0 where there is none."""
        far = self.distances()
        found: Tensor = far.where(far.isfinite(), 0.0).amax(dim=1) if far.shape[1] else far.new_zeros(self.v)
        return found

    @property
    def say(self) -> Tensor:
        """The gossip weight [v] that each victim gives to its malicious neighbours together (needs TOPOLOGY)."""
        self._need(Knowledge.TOPOLOGY, "the gossip weights")
        return self._column(self._given(self._facts.say, "the gossip weights"))[:, 0]

    def pull(self) -> Tensor:
        """Where honest neighbours draw each victim, ``sum_j W_ij (x_j - x_i)`` [v, d].

        It needs TOPOLOGY, and PEERS or NEIGHBOURS.
        """
        self._need(Knowledge.TOPOLOGY, "the gossip weights")
        weights = np.where(self.known, self._given(self._facts.weights, "the gossip weights"), 0.0)
        return self._combined(weights) - self.models * self._column(weights.sum(axis=1))

    def across(self) -> Tensor:
        """The direction [v, d] that drives the two sides of the network apart: ``(f2^T X) f2[i]`` for victim i.

        f2 is the Fiedler vector of the honest peers' graph, and X are their models. It needs TOPOLOGY and PEERS.
        """
        self._need(Knowledge.TOPOLOGY, "the graph")
        self._need(Knowledge.PEERS, "the models of all honest peers")
        cut, rows = self._given(self._facts.cut, "the graph")(), self._facts.honest
        apart = rows.T @ rows.new_tensor(cut)
        found: Tensor = rows.new_tensor(cut[self._facts.victims])[:, None] * apart
        return found

    @property
    def initial(self) -> Tensor:
        """The model [d] before the first round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the first model")
        return self._lend(self._given(self._facts.initial, "the first model"), "the first model")

    @property
    def knows(self) -> NDArray[np.bool_]:
        """Of which classes each victim has samples of its own, [v, C] (needs DATA)."""
        self._need(Knowledge.DATA, "the victims' classes")
        return np.array(self._given(self._facts.knows, "the victims' classes")(), dtype=np.bool_)

    def mix(self, letters: Tensor) -> Tensor:
        """The victims' models [v, d] after mixing, if all malicious neighbours of victim i send letters[i] [v, d].

        One call answers for all victims; it has no effect on their state. It needs DEFENSE.
        """
        self._need(Knowledge.DEFENSE, "the defense")
        return self._given(self._facts.mix, "the defense")(letters)

    def _rows(self, places: Ids) -> Any:
        import torch

        return torch.as_tensor(places, device=self._facts.honest.device)

    def _column(self, values: Floats) -> Tensor:
        return self._facts.honest.new_tensor(values)[:, None]

    def _combined(self, coefficients: Floats) -> Tensor:
        """For each victim the sum of its honest neighbours' models times these coefficients, [v, k] -> [v, d]."""
        known, rows = self._around != NOBODY, self._facts.honest
        spread = np.zeros((self.v, len(rows)))
        line, _ = np.nonzero(known)
        np.add.at(spread, (line, self._around[known]), coefficients[known])
        found: Tensor = rows.new_tensor(spread) @ rows
        return found
