"""What an adversary knows: an attack declares it, and this module enforces it, whatever the messages are.

:class:`RoundFacts` holds everything about a round, and only the machine sees it. An attack sees a :class:`RoundView` of
it. The view hands out what the attack has declared to know, and raises :class:`~robustfl.errors.KnowledgeError` for the
rest. Each kind of message adds facts of its own: updates in :mod:`robustfl.threats.updates.view`, rankings in
:mod:`robustfl.threats.rankings`.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from robustfl.errors import KnowledgeError, NotGivenError

T = TypeVar("T")
M = TypeVar("M")
"""The messages of several clients: a tensor [k, d] of updates, one array per layer of rankings, ..."""


class Knowledge(enum.Flag):
    """What an attack may look at; several members are combined with `|`."""

    NOTHING = 0
    OWN = enum.auto()
    """What the malicious clients would have sent honestly, and their own data."""
    HISTORY = enum.auto()
    """All global models up to now, which every participant receives."""
    PEERS = enum.auto()
    """All honest updates of this round, without the data behind them."""
    DATA = enum.auto()
    """The honest clients' data (with PEERS: an omniscient adversary)."""
    DEFENSE = enum.auto()
    """The defense itself, as a function that may be called (white-box)."""
    NEIGHBOURS = enum.auto()
    """In a network of peers: the models that malicious peers got from their own neighbours in this round."""
    TOPOLOGY = enum.auto()
    """In a network of peers: who hears whom, and with which weights."""

    def names(self) -> list[str]:
        """The members in words, for records: `["own", "peers"]`."""
        return [str(member.name).lower() for member in type(self) if member in self]


@dataclass(kw_only=True)
class RoundFacts(Generic[M]):
    """Everything about one round that concerns messages of any kind.

    Attributes
    ----------
    round : number of the round, counted from 0
    f : number of malicious clients in this round
    declared_f : the number of malicious clients that the defense assumes
    honest : the honest messages, exactly as they were sent
    honest_ids : the clients that sent them
    ids : the f names under which the malicious messages are sent; row numbers when not given
    own : makes the messages that the malicious clients would have sent honestly; called only when an attack looks at
        them
    receiver : who will get the messages: the server, or one peer
    aggregate : the defense, called without any effect on its state; malicious messages come first
    rng : the attack's own generator
    """

    round: int
    f: int
    honest: M
    own: Callable[[], M]
    declared_f: int = 0
    honest_ids: tuple[Hashable, ...] = ()
    ids: tuple[Hashable, ...] | None = None
    receiver: Hashable = "server"
    aggregate: Callable[[M], Any] | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class RoundView(ABC, Generic[M]):
    """What an attack sees of one round, whatever the messages are.

    Every attack may see `round`, `f`, `declared_f`, `rng`, `ids` (the names of its own f messages), the `receiver` for
    whom it crafts, and `memory`, a dictionary that the attack keeps between the rounds of a trial. Everything else
    needs the knowledge that its description names.
    """

    messages: ClassVar[str] = "messages"
    """What messages are called in errors."""

    def __init__(self, facts: RoundFacts[M], knowledge: Knowledge, owner: Any, memory: dict[str, Any]) -> None:
        self._facts = facts
        self._knowledge = knowledge
        self._owner = owner
        self._own: M | None = None
        self.memory = memory
        self.round, self.f, self.declared_f = facts.round, facts.f, facts.declared_f
        self.receiver, self.rng = facts.receiver, facts.rng
        self.ids = tuple(range(facts.f)) if facts.ids is None else facts.ids

    @property
    def honest(self) -> M:
        """The honest messages (needs PEERS; in a network of peers NEIGHBOURS are enough for those that were seen)."""
        self._need_peers(f"the honest {self.messages}")
        return self._lend(self._facts.honest, f"the honest {self.messages}")

    @property
    def honest_ids(self) -> tuple[Hashable, ...]:
        """The clients behind `honest`, in order (needs PEERS, or NEIGHBOURS)."""
        self._need_peers("the honest clients' ids")
        return self._facts.honest_ids

    @property
    def own(self) -> M:
        """The messages that the malicious clients would have sent honestly (needs OWN)."""
        what = f"the malicious clients' own {self.messages}"
        self._need(Knowledge.OWN, what)
        if self._own is None:
            self._own = self._facts.own()
        return self._lend(self._own, what)

    def aggregate(self, messages: M) -> Any:
        """What the defense would answer to these messages, malicious ones first (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._given(self._facts.aggregate, "the defense")(messages)

    @property
    def _whose(self) -> str:
        """The attack in words: its text, or that of the attack itself, which takes long to make for every round."""
        return self._owner if isinstance(self._owner, str) else repr(self._owner)

    @abstractmethod
    def _lend(self, messages: M, what: str) -> M:
        """Hand out messages that may only be read."""

    def _need_peers(self, what: str) -> None:
        """Where only NEIGHBOURS are declared, the facts hold what was seen and nothing else."""
        if Knowledge.NEIGHBOURS not in self._knowledge:
            self._need(Knowledge.PEERS, what)

    def _need(self, knowledge: Knowledge, what: str) -> None:
        if knowledge not in self._knowledge:
            declared = ", ".join(self._knowledge.names()) or "nothing"
            raise KnowledgeError(
                f"{self._whose} looked at {what}, which needs the knowledge '{knowledge.names()[0]}'. "
                f"It declares: {declared}. Declare it, or do without."
            )

    def _given(self, value: T | None, what: str) -> T:
        if value is None:
            raise NotGivenError(f"{self._whose} needs {what}, which was not given.")
        return value
