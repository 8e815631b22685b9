"""Attacks on votes over rankings: the contract, what such an attack sees, and the machine that runs it.

A ranking [m] lists numbers of edges of one layer from the least to the most important. Where clients name only some of
their edges, it holds the m most important of n.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from robustfl.aggregation.votes.counting import Counts, sum_positions
from robustfl.components import checked
from robustfl.errors import AttackError, KnowledgeError
from robustfl.threats.attack import Attack
from robustfl.threats.knowledge import Knowledge

Rankings = NDArray[np.signedinteger[Any]]
Layers = Sequence[Rankings]
"""Rankings of several clients: an array [clients, m_l] for each layer."""


@dataclass(kw_only=True)
class RankFacts:
    """The whole truth of one round.

    Attributes
    ----------
    round : round number, from 0
    f : malicious clients in this round
    edges : n_l, the edges of each layer
    sent : m_l, how many of them a client names
    keep : share of the edges of a layer that the network keeps, the last ones of the global ranking
    honest : [h, m_l] a layer, the honest clients' rankings as submitted
    own : makes the [f, m_l] a layer that the malicious clients would have sent; called only when looked at
    vote : [clients, m_l] a layer -> [n_l] a layer, the defense's global ranking for these rankings
    rng : the attack's own generator
    """

    round: int
    f: int
    edges: tuple[int, ...]
    sent: tuple[int, ...]
    keep: float
    honest: Layers
    own: Callable[[], Layers]
    vote: Callable[[Layers], Layers] | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class RankView:
    """One round through the eyes of an attack; all arrays are read-only.

    Free to see: `round`, `f`, `h`, `edges`, `sent`, `keep`, `rng`, and `memory`, a dictionary that the attack keeps
    between the rounds of a trial. The rest needs the knowledge that it names.
    """

    def __init__(self, facts: RankFacts, knowledge: Knowledge, owner: str, memory: dict[str, Any]) -> None:
        self._facts, self._knowledge, self._owner = facts, knowledge, owner
        self._shown: dict[str, Layers] = {}
        self.memory = memory
        self.round, self.f, self.h = facts.round, facts.f, len(facts.honest[0])
        self.edges, self.sent, self.keep, self.rng = facts.edges, facts.sent, facts.keep, facts.rng

    @property
    def honest(self) -> Layers:
        """[h, m_l] a layer, the honest clients' rankings (needs PEERS)."""
        return self._show("honest", Knowledge.PEERS, "the honest rankings", lambda: self._facts.honest)

    @property
    def own(self) -> Layers:
        """[f, m_l] a layer, what the malicious clients would have sent honestly (needs OWN)."""
        return self._show("own", Knowledge.OWN, "the malicious clients' own rankings", self._facts.own)

    def vote(self, rankings: Layers) -> Layers:
        """[clients, m_l] a layer -> [n_l] a layer: what the defense would make of these rankings (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        if self._facts.vote is None:
            raise AttackError(f"{self._owner} needs the defense, which was not given.")
        return self._facts.vote(rankings)

    def support(self, of: Literal["own", "peers"]) -> list[Counts]:
        """[n_l] a layer: the sum of the positions of each edge, over the attack's own or the peers' honest rankings."""
        shown = self.own if of == "own" else self.honest
        voters = {row: [np.ascontiguousarray(layer[row]) for layer in shown] for row in range(len(shown[0]))}
        return sum_positions(voters, self.edges)[0]

    def kept(self, layer: int) -> int:
        """How many edges of a layer the network keeps."""
        return self.edges[layer] - dropped_edges(self.edges[layer], self.keep)

    def _need(self, knowledge: Knowledge, what: str) -> None:
        if knowledge not in self._knowledge:
            declared = ", ".join(self._knowledge.names()) or "nothing"
            raise KnowledgeError(
                f"{self._owner} looked at {what}, which needs the knowledge '{knowledge.names()[0]}'. "
                f"It declares: {declared}. Declare it, or do without."
            )

    def _show(self, key: str, knowledge: Knowledge, what: str, layers: Callable[[], Layers]) -> Layers:
        self._need(knowledge, what)
        if key not in self._shown:
            self._shown[key] = [_read_only(layer) for layer in layers()]
        return self._shown[key]


def dropped_edges(edges: int, keep: float) -> int:
    """How many of the edges of a layer a network does without that keeps a share of them: at least one stays."""
    return min(int((1 - keep) * edges), edges - 1)


@dataclass(frozen=True, kw_only=True)
class RankAttack(Attack):
    """Crafts the rankings of the malicious clients from what the adversary knows."""

    surface: ClassVar[str] = "rankings"
    channels: ClassVar[tuple[str, ...] | None] = ("rankings",)

    @abstractmethod
    def craft(self, view: RankView) -> Layers:
        """The malicious rankings, [f, m_l] a layer. What is no ranking is refused by a sound defense."""

    @final
    def __call__(
        self,
        honest: Layers,
        *,
        f: int,
        own: Layers | None = None,
        vote: Callable[[Layers], Layers] | None = None,
        edges: Sequence[int] | None = None,
        keep: float = 0.5,
        rng: np.random.Generator | int = 0,
    ) -> list[Rankings]:
        """Craft `f` malicious rankings against `honest`, [h, m_l] a layer, outside any simulation.

        `own` [f, m_l] a layer is what the malicious clients would have sent honestly, `vote` the defense under attack:
        each only for attacks that need it. `edges` are n_l, when they are more than the m_l that rankings name.

        Raises AttackError for rankings of the wrong shape, or that the attack needs and were not given.
        """
        f = checked(f, int, (Ge(0),), type(self).__name__, "f")
        layers = [np.asarray(layer) for layer in honest]
        if not layers or any(layer.ndim != 2 or not layer.size or layer.dtype.kind not in "iu" for layer in layers):
            found = [f"{layer.dtype} {list(layer.shape)}" for layer in layers]
            raise AttackError(f"`honest` should be integer rankings [h, m], one array a layer. Found {found}.")

        def own_rankings() -> Layers:
            if own is None:
                raise AttackError(f"{self!r} needs `own`, the malicious clients' own honest rankings.")
            return [np.asarray(layer) for layer in own]

        sent = tuple(layer.shape[1] for layer in layers)
        facts = RankFacts(
            round=self.start_round,
            f=f,
            edges=tuple(edges or sent),
            sent=sent,
            keep=keep,
            honest=layers,
            own=own_rankings,
            vote=vote,
            rng=np.random.default_rng(rng),
        )
        return RankAdversary(self).craft(facts)


@dataclass(frozen=True, kw_only=True)
class CommonRankAttack(RankAttack):
    """An attack whose malicious clients all send one ranking."""

    @abstractmethod
    def rankings(self, view: RankView) -> Sequence[Rankings]:
        """The one malicious ranking of all edges, [n_l] a layer; its end is sent where clients name only some."""

    @final
    def craft(self, view: RankView) -> Layers:
        whole = self.rankings(view)
        return [np.tile(ranking[-sent:], (view.f, 1)) for ranking, sent in zip(whole, view.sent, strict=True)]


class RankAdversary:
    """An attack on rankings with its memory over the rounds of one trial."""

    def __init__(self, attack: RankAttack) -> None:
        self.attack = attack
        self.memory: dict[str, Any] = {}

    def craft(self, facts: RankFacts) -> list[Rankings]:
        """The malicious rankings of this round; what the clients would honestly send outside the window.

        Raises
        ------
        AttackError : the attack returned something else than integers [f, m_l] a layer
        KnowledgeError : the attack looked at more than it declared
        """
        if facts.f == 0:
            return [layer[:0] for layer in facts.honest]
        if not self.attack.active(facts.round):
            return list(facts.own())
        view = RankView(facts, self.attack.required_knowledge(), repr(self.attack), self.memory)
        crafted = [np.asarray(layer) for layer in self.attack.craft(view)]
        wanted = [(facts.f, sent) for sent in facts.sent]
        if [layer.shape for layer in crafted] != wanted or any(layer.dtype.kind not in "iu" for layer in crafted):
            found = [f"{layer.dtype} {list(layer.shape)}" for layer in crafted]
            raise AttackError(f"{self.attack!r} should craft integer rankings of shapes {wanted}. Found {found}.")
        return crafted


def _read_only(layer: Rankings) -> Rankings:
    shown = layer.view()
    shown.flags.writeable = False
    return shown
