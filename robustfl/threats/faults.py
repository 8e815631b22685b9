"""What goes wrong without malice: the contract of faults.

A fault strikes in one of four stages: in the data, in the models that clients compute with, in the messages that they
send, or on the network. The stages always come in this order, and the faults of one stage strike in the order of the
list. Each fault has its own random numbers, which do not depend on the other faults, the defense or the attack.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, final

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import AttackError, ParameterError

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

HOOKS = ("data", "age", "message", "network")
"""The methods of the four stages, in the order in which they are called."""


@dataclass(frozen=True, kw_only=True)
class LocalData:
    """What one client learns from: `features` [m, ...] and `labels` [m] of `classes` classes.

    `drawn` holds the row numbers of the samples from which batches are drawn; a sample may appear several times.
    """

    features: Tensor
    labels: NDArray[np.int64]
    classes: int
    drawn: Ids


@dataclass(frozen=True, kw_only=True)
class FaultView:
    """What a fault sees of a round: its `number`, counted from 0, and the `ids` [k] of the clients at hand.

    The clients at hand are those to whom the fault happens in this round. `memory` is kept between the rounds of a
    trial. The random numbers that a client gets from :meth:`uniform` do not depend on which other clients are at hand.

    In a network of peers, a fault of single letters sees one entry for each letter: `ids` are the senders, and
    `receivers` [k] who gets it. With a server, and for faults of whole peers, `receivers` is None.
    """

    number: int
    ids: Ids
    memory: dict[str, Any]
    generator: Callable[[str], np.random.Generator]
    receivers: Ids | None = None

    def rng(self, purpose: str = "") -> np.random.Generator:
        """A generator for one purpose in this round; every call starts it anew."""
        return self.generator(f"{purpose} in round {self.number}")

    def lasting(self, purpose: str = "") -> np.random.Generator:
        """A generator that gives the same numbers in every round, for properties that a client keeps."""
        return self.generator(f"{purpose} for good")

    @property
    def everybody(self) -> int:
        """The number of draws that is needed so that each client at hand, with number i, can take the i-th draw."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0

    def uniform(self, purpose: str = "") -> Floats:
        """One number from [0, 1) for each client (or letter) at hand, [k]; they are drawn anew in every round."""
        if self.receivers is None:
            return self.rng(purpose).random(self.everybody)[self.ids]
        return scattered(self.ids, self.receivers, int(self.rng(purpose).integers(2**63)))


def scattered(senders: Ids, receivers: Ids, seed: int) -> Floats:
    """Numbers from [0, 1) for letters [k] that depend on the seed and on both ends of a letter, and on nothing else.

    Formula: the finaliser of SplitMix64, applied to ``seed + (sender 2^32 + receiver) golden`` (G. L. Steele, D. Lea,
    C. H. Flood. Fast Splittable Pseudorandom Number Generators. OOPSLA 2014).

    >>> one, two = scattered(np.array([3, 3]), np.array([1, 2]), seed=0)
    >>> one == scattered(np.array([3]), np.array([1]), seed=0)[0] != two
    np.True_
    """
    with np.errstate(over="ignore"):
        mixed = (senders.astype(np.uint64) << np.uint64(32)) + receivers.astype(np.uint64)
        mixed = np.uint64(seed) + (mixed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What the network does to the k messages of a round; each field is [k], and a field that is None does nothing.

    `lost` tells which messages never arrive. `late` is the number of rounds by which a message is late. `again` is the
    number of rounds after which a copy of the message follows; 0 means that there is no copy. `twice` tells which
    messages arrive a second time under another name, as if another client had sent them.
    """

    lost: Mask | None = None
    late: Ids | None = None
    again: Ids | None = None
    twice: Mask | None = None


@dataclass(frozen=True, kw_only=True)
class Fault(Component, ABC):
    """Something that goes wrong without malice, for honest and malicious clients alike.

    Authors override one or more of the hooks :meth:`data`, :meth:`age`, :meth:`message` and :meth:`network`. The
    machine calls them in the rounds of the fault, for the clients to whom it happens. Nothing else changes.
    """

    surface: ClassVar[str] = "faults"
    among_peers: ClassVar[Literal["peers", "letters"] | None] = None
    """What a fault of the network loses where there is no server: whole peers for a round, or single letters. None if
    it has no meaning there."""

    share: Annotated[
        float, Gt(0), Le(1), Doc("share of the clients to whom the fault happens, the same ones in all rounds")
    ] = 1.0
    start_round: Annotated[int, Ge(0), Doc("first round of the fault")] = 0
    stop_round: Annotated[
        int | None, Ge(0), Doc("round in which the fault ends; it goes on to the last round when not given")
    ] = None

    def __new__(cls, *args: Any, **values: Any) -> Self:
        if not any(cls.strikes(hook) for hook in HOOKS):
            raise TypeError(f"{cls.__name__} is abstract: it should override one of {', '.join(HOOKS)}.")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        super().__post_init__()
        name, start, stop = type(self).__name__, self.start_round, self.stop_round
        if stop is not None and stop <= start:
            raise ParameterError(
                f"{name}: `stop_round` should satisfy stop_round > start_round, or the fault never happens. "
                f"Found start_round={start}, stop_round={stop}."
            )
        if self.strikes("data") and (start or stop is not None):
            raise ParameterError(
                f"{name} is in the data from the first round to the last: leave `start_round` and `stop_round` out. "
                f"Found start_round={start}, stop_round={stop}."
            )

    @classmethod
    def strikes(cls, hook: str) -> bool:
        """Whether the fault overrides this hook."""
        return getattr(cls, hook) is not getattr(Fault, hook)

    def fits(self, channel: str) -> bool:
        """Whether the fault can happen in this channel; only dense updates are numbers that can be damaged.

        Peers have models of their own, so none is stale: what decides there is `among_peers`.
        """
        if channel == "peers":
            return self.among_peers is not None or not any(map(self.strikes, ("age", "message", "network")))
        dense = ("dense",) if self.strikes("age") else ("dense", "rewards")
        return channel in dense or not (self.strikes("age") or self.strikes("message"))

    def active(self, number: int) -> bool:
        """Whether the fault happens in round `number`."""
        return number >= self.start_round and (self.stop_round is None or number < self.stop_round)

    def reach(self) -> int:
        """The age in rounds of the oldest model that a client may compute with."""
        return 0

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        """A client's data after the fault; called once, before the first round. It must not change `local`."""
        return local

    def age(self, moment: FaultView) -> Ids:
        """The ages [k], in rounds, of the models that these clients compute with."""
        return np.zeros(len(moment.ids), dtype=np.int64)

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        """The messages [k, d] as they are sent after the fault. It must not change `messages`."""
        return messages

    def network(self, moment: FaultView) -> Delivery:
        """What the network does to the messages of these clients."""
        return Delivery()

    @final
    def __call__(self, messages: Any, *, number: int | None = None, rng: int = 0) -> tuple[Any, Ids]:
        """The messages that arrive of `messages` [n, d] in a single round outside any federation, and their senders.

        Client i sends row i. Late messages do not arrive, but copies under a second name do. The answer is the arrived
        messages [m, d], a numpy array or torch tensor as `messages` is, and their senders [m]. `number` is the round;
        when it is not given, it is the first round of the fault. `rng` is the seed of the fault.
        """
        import torch

        number = self.start_round if number is None else number
        numpy = not isinstance(messages, torch.Tensor)
        rows = torch.as_tensor(np.array(messages)) if numpy else messages
        ids = np.arange(len(rows))
        course = FaultRun(self, len(rows), lambda purpose: np.random.default_rng([rng, *purpose.encode()]))
        rows, fate = course.messages(rows, number, ids), course.fate(number, ids)
        kept = np.ones(len(ids), dtype=np.bool_) if fate.lost is None else ~fate.lost
        kept &= True if fate.late is None else fate.late == 0
        arrived = ids[kept] if fate.twice is None else np.concatenate([ids[kept], ids[kept & fate.twice]])
        rows = rows[torch.as_tensor(arrived)]
        return (rows.numpy() if numpy else rows), arrived


@dataclass
class FaultRun:
    """A fault in the rounds of one trial: the clients to whom it happens, its memory and its random numbers.

    Parameters
    ----------
    fault : the fault
    clients : number of clients; members with higher numbers are identities that an adversary adds
    generator : function from a purpose to a generator, which every call starts anew
    memory : what the fault remembers between rounds
    """

    fault: Fault
    clients: int
    generator: Callable[[str], np.random.Generator]
    memory: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = max(1, math.floor(self.fault.share * self.clients + 1e-9))
        self.struck = np.sort(self.generator("who").permutation(self.clients)[:count])
        self._hit = np.zeros(self.clients, dtype=np.bool_)
        self._hit[self.struck] = True

    def happens_to(self, ids: Ids) -> Mask:
        """To which of these members the fault happens in its rounds, as booleans."""
        added = ids >= self.clients
        hit: Mask = self._hit[np.where(added, 0, ids)] & ~added
        if added.any():
            draws = self.generator("who else").random(int(ids.max()) + 1)
            hit[added] = draws[ids[added]] < self.fault.share
        return hit

    def concerned(self, hook: str, number: int, ids: Ids) -> Mask | None:
        """The members for whom the hook has to be called in this round, as booleans; None when there are none."""
        if not (self.fault.strikes(hook) and self.fault.active(number)):
            return None
        hit = self.happens_to(ids)
        return hit if hit.any() else None

    def moment(self, number: int, ids: Ids, receivers: Ids | None = None) -> FaultView:
        return FaultView(number=number, ids=ids, memory=self.memory, generator=self.generator, receivers=receivers)

    def ages(self, number: int, ids: Ids) -> Ids:
        """The ages [k], in rounds, of the models that these members compute with."""
        ages, hit = np.zeros(len(ids), dtype=np.int64), self.concerned("age", number, ids)
        if hit is not None:
            ages[hit] = self.fault.age(self.moment(number, ids[hit]))
        return ages

    def messages(self, messages: Tensor, number: int, ids: Ids) -> Tensor:
        """The messages [k, d] as they are sent after the fault; a new tensor when anything changes."""
        import torch

        hit = self.concerned("message", number, ids)
        if hit is None:
            return messages
        rows = torch.as_tensor(hit, device=messages.device)
        before = messages[rows]
        after = self.fault.message(before, self.moment(number, ids[hit]))
        if tuple(after.shape) != tuple(before.shape) or after.dtype != before.dtype:
            raise AttackError(
                f"{self.fault!r} should leave messages of {before.dtype} {list(before.shape)} as they are in type and "
                f"shape. Found {after.dtype} {list(after.shape)}."
            )
        result = messages.clone()
        result[rows] = after
        return result

    def fate(self, number: int, ids: Ids, receivers: Ids | None = None) -> Delivery:
        """What the network does to the messages of all these members, or to their letters to these receivers."""
        hit = self.concerned("network", number, ids)
        if hit is None:
            return Delivery()
        own = self.fault.network(self.moment(number, ids[hit], None if receivers is None else receivers[hit]))
        spread: dict[str, Any] = {}
        for name in ("lost", "late", "again", "twice"):
            values = getattr(own, name)
            if values is not None:
                spread[name] = np.zeros(len(ids), dtype=values.dtype)
                spread[name][hit] = values
        return Delivery(**spread)
