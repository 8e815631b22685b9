"""Attacks on votes over rankings: the contract, what such an attack sees, and the machine that runs it.

A ranking [m] lists the numbers of the edges of one layer, from the least to the most important edge. When clients name
only some of the n edges, it holds the m most important ones. Layers are numbered by l: layer l has n_l edges, of which
a ranking names m_l. Rankings of k clients are a list with one array [k, m_l] per layer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from robustfl.aggregation.votes.counting import Counts, sum_positions
from robustfl.components import checked
from robustfl.errors import AttackError
from robustfl.threats.adversary import Adversary, MessageAttack
from robustfl.threats.knowledge import Knowledge, RoundFacts, RoundView

Rankings = NDArray[np.signedinteger[Any]]
Layers = Sequence[Rankings]
"""The rankings of several clients: one array [clients, m_l] per layer."""


@dataclass(kw_only=True)
class RankFacts(RoundFacts[Layers]):
    """Everything about one round of rankings: the facts of every round, and the following.

    Messages are one array [clients, m_l] per layer, and the defense answers with one array [n_l] per layer.

    Attributes
    ----------
    edges : n_l, the number of edges of each layer
    sent : m_l, the number of edges of each layer that a ranking names
    keep : share of the edges of a layer that the network keeps, namely the last ones of the global ranking
    """

    edges: tuple[int, ...]
    sent: tuple[int, ...]
    keep: float


class RankView(RoundView[Layers]):
    """What an attack sees of one round; all arrays are read-only.

    Every attack may see `h`, `edges`, `sent` and `keep`, and what every view shows.
    """

    messages: ClassVar[str] = "rankings"

    def __init__(self, facts: RankFacts, knowledge: Knowledge, owner: Any, memory: dict[str, Any]) -> None:
        super().__init__(facts, knowledge, owner, memory)
        self._shown: dict[str, Layers] = {}
        self.h = len(facts.honest[0])
        self.edges, self.sent, self.keep = facts.edges, facts.sent, facts.keep

    def vote(self, rankings: Layers) -> Layers:
        """The defense's global ranking for these rankings, one array [n_l] per layer (needs DEFENSE)."""
        answer: Layers = self.aggregate(rankings)
        return answer

    def support(self, of: Literal["own", "peers"]) -> list[Counts]:
        """The sums of each edge's positions over the known rankings, one array [n_l] per layer.

        The known rankings are the malicious clients' own ones (needs OWN), or all honest ones (needs PEERS).
        """
        shown = self.own if of == "own" else self.honest
        voters = {row: [np.ascontiguousarray(layer[row]) for layer in shown] for row in range(len(shown[0]))}
        return sum_positions(voters, self.edges)[0]

    def kept(self, layer: int) -> int:
        """The number of edges of a layer that the network keeps."""
        return self.edges[layer] - dropped_edges(self.edges[layer], self.keep)

    def _lend(self, messages: Layers, what: str) -> Layers:
        if what not in self._shown:
            self._shown[what] = [_read_only(layer) for layer in messages]
        return self._shown[what]


def dropped_edges(edges: int, keep: float) -> int:
    """The number of edges of a layer that a network drops when it keeps the share `keep`; at least one edge stays."""
    return min(int((1 - keep) * edges), edges - 1)


@dataclass(frozen=True, kw_only=True)
class RankAttack(MessageAttack[RankFacts, Layers]):
    """Crafts the rankings of the malicious clients from what the adversary knows."""

    surface: ClassVar[str] = "rankings"
    channels: ClassVar[tuple[str, ...] | None] = ("rankings",)

    @abstractmethod
    def craft(self, view: RankView) -> Layers:
        """The malicious rankings, one array [f, m_l] per layer.

        Rows that are not rankings may be returned, but a sound defense refuses them.
        """

    @final
    def nothing(self, facts: RankFacts) -> Layers:
        return [layer[:0] for layer in facts.honest]

    @final
    def look(self, facts: RankFacts, memory: dict[str, Any]) -> RankView:
        return RankView(facts, self.required_knowledge(), self, memory)

    @final
    def checked(self, crafted: Any, view: RankView, facts: RankFacts) -> Layers:
        layers = [np.asarray(layer) for layer in crafted]
        wanted = [(facts.f, sent) for sent in facts.sent]
        if [layer.shape for layer in layers] != wanted or any(layer.dtype.kind not in "iu" for layer in layers):
            found = [f"{layer.dtype} {list(layer.shape)}" for layer in layers]
            raise AttackError(f"{self!r} should craft integer rankings of shapes {wanted}. Found {found}.")
        return layers

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
        """Craft `f` malicious rankings against `honest` (one array [h, m_l] per layer), outside any federation.

        `own` (one array [f, m_l] per layer) is what the malicious clients would have sent honestly, and `vote` is the
        defense under attack; each is given only for attacks that need it. `edges` holds the n_l when these are larger
        than the m_l that rankings name.

        Raises AttackError when rankings have a wrong shape, or when rankings that the attack needs are missing.
        """
        f = checked(f, int, (Ge(0),), type(self).__name__, "f")
        layers = [np.asarray(layer) for layer in honest]
        if not layers or any(layer.ndim != 2 or not layer.size or layer.dtype.kind not in "iu" for layer in layers):
            found = [f"{layer.dtype} {list(layer.shape)}" for layer in layers]
            raise AttackError(f"`honest` should be integer rankings [h, m], one array per layer. Found {found}.")

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
            aggregate=vote,
            rng=np.random.default_rng(rng),
        )
        return list(Adversary(self).craft(facts))


@dataclass(frozen=True, kw_only=True)
class CommonRankAttack(RankAttack):
    """An attack whose malicious clients all send the same ranking."""

    @abstractmethod
    def rankings(self, view: RankView) -> Sequence[Rankings]:
        """The malicious ranking of all edges, one array [n_l] per layer.

        When rankings name only m_l edges, the last m_l of it are sent.
        """

    @final
    def craft(self, view: RankView) -> Layers:
        whole = self.rankings(view)
        return [np.tile(ranking[-sent:], (view.f, 1)) for ranking, sent in zip(whole, view.sent, strict=True)]


def _read_only(layer: Rankings) -> Rankings:
    shown = layer.view()
    shown.flags.writeable = False
    return shown
