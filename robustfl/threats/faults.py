"""What goes wrong without malice: the contract of faults.

A fault strikes where data are made, where clients compute, in the messages that they send, or on the network, always in
this order whatever the order in which faults are listed; those of one stage strike in the order of the list. Each has
its own random numbers: they are the same whichever other faults, defenses and attacks there are.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, final

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
"""The methods of the four stages, in the order in which they strike."""


@dataclass(frozen=True, kw_only=True)
class LocalData:
    """What one client learns from: `features` [m, ...], `labels` [m] of `classes` classes, and `drawn`, the places of
    the samples that batches are drawn from, in which a sample may stand several times."""

    features: Tensor
    labels: NDArray[np.int64]
    classes: int
    drawn: Ids


@dataclass(frozen=True, kw_only=True)
class FaultView:
    """A round through the eyes of a fault: `number`, from 0, and the clients at hand, `ids` [k].

    `memory` is kept between the rounds of a trial. Random numbers that a client gets by :meth:`uniform` do not depend
    on who else is at hand.
    """

    number: int
    ids: Ids
    memory: dict[str, Any]
    generator: Callable[[str], np.random.Generator]

    def rng(self, purpose: str = "") -> np.random.Generator:
        """The generator of this round for one purpose; every call begins it anew."""
        return self.generator(f"{purpose} in round {self.number}")

    def lasting(self, purpose: str = "") -> np.random.Generator:
        """A generator that begins anew and alike in every round, for what a client keeps."""
        return self.generator(f"{purpose} for good")

    @property
    def everybody(self) -> int:
        """How many draws reach all clients at hand, of which the one with number i takes the i-th."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0

    def uniform(self, purpose: str = "") -> Floats:
        """A number from [0, 1) for each client at hand [k], new in every round."""
        return self.rng(purpose).random(self.everybody)[self.ids]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What the network does to the messages of a round, each [k]; what is left out does not happen.

    `lost` messages never arrive, others arrive `late` by so many rounds. Where `again` is given a copy follows so many
    rounds after the message (0: none). `twice` adds the message under a second name, as of another client.
    """

    lost: Mask | None = None
    late: Ids | None = None
    again: Ids | None = None
    twice: Mask | None = None


@dataclass(frozen=True, kw_only=True)
class Fault(Component, ABC):
    """Something that goes wrong without malice, to honest and malicious clients alike.

    Authors override one or more of the hooks :meth:`data`, :meth:`age`, :meth:`message` and :meth:`network`; the
    machine calls them for the clients that the fault happens to, in its rounds, and nothing else changes.
    """

    surface: ClassVar[str] = "faults"

    share: Annotated[float, Gt(0), Le(1), Doc("share of the clients that it happens to, the same in all rounds")] = 1.0
    start_round: Annotated[int, Ge(0), Doc("first round of the fault")] = 0
    stop_round: Annotated[int | None, Ge(0), Doc("first round without the fault again; never when not given")] = None

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
        """Whether the fault has something to do at this hook."""
        return getattr(cls, hook) is not getattr(Fault, hook)

    def fits(self, channel: str) -> bool:
        """Whether it can happen to clients of this channel: only dense updates are numbers that can be damaged."""
        dense = ("dense",) if self.strikes("age") else ("dense", "rewards")
        return channel in dense or not (self.strikes("age") or self.strikes("message"))

    def active(self, number: int) -> bool:
        """Whether it happens in round `number`."""
        return number >= self.start_round and (self.stop_round is None or number < self.stop_round)

    def reach(self) -> int:
        """The age in rounds of the oldest model that a client may compute with."""
        return 0

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        """A client's data after the fault; called once, before the first round. `local` may only be read."""
        return local

    def age(self, moment: FaultView) -> Ids:
        """By how many rounds the models are old that clients compute with, [k]."""
        return np.zeros(len(moment.ids), dtype=np.int64)

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        """What becomes of the messages [k, d] when they are sent; the given ones may only be read."""
        return messages

    def network(self, moment: FaultView) -> Delivery:
        """What the network does to the messages of these clients."""
        return Delivery()

    @final
    def __call__(self, messages: Any, *, number: int | None = None, rng: int = 0) -> tuple[Any, Ids]:
        """What arrives of `messages` [n, d] in a single round, outside any simulation, and who sent it.

        Client i sends row i. Messages that are late do not arrive, copies under a second name do. The answer [m, d] is
        of the type of the messages, a numpy array or a torch tensor, with the senders [m]. `number` is the round, the
        fault's first when it is not given; `rng` seeds the fault.
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
    """A fault through the rounds of one trial: whom it happens to, what it remembers, its random numbers.

    Parameters
    ----------
    fault : the fault
    clients : number of clients; members above it are identities that an adversary adds
    generator : purpose -> a generator that begins anew at every call
    """

    fault: Fault
    clients: int
    generator: Callable[[str], np.random.Generator]
    memory: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = max(1, math.floor(self.fault.share * self.clients + 1e-9))
        self.struck = np.sort(self.generator("who").permutation(self.clients)[:count])

    def happens_to(self, ids: Ids) -> Mask:
        """Which of these members the fault happens to, in its rounds."""
        hit = np.isin(ids, self.struck)
        added = ids >= self.clients
        if added.any():
            draws = self.generator("who else").random(int(ids.max()) + 1)
            hit[added] = draws[ids[added]] < self.fault.share
        return hit

    def concerned(self, hook: str, number: int, ids: Ids) -> Mask | None:
        """Whom the hook is to be called for; None for nobody."""
        if not (self.fault.strikes(hook) and self.fault.active(number)):
            return None
        hit = self.happens_to(ids)
        return hit if hit.any() else None

    def moment(self, number: int, ids: Ids) -> FaultView:
        return FaultView(number=number, ids=ids, memory=self.memory, generator=self.generator)

    def ages(self, number: int, ids: Ids) -> Ids:
        """By how many rounds the models of these members are old, [k]."""
        ages, hit = np.zeros(len(ids), dtype=np.int64), self.concerned("age", number, ids)
        if hit is not None:
            ages[hit] = self.fault.age(self.moment(number, ids[hit]))
        return ages

    def messages(self, messages: Tensor, number: int, ids: Ids) -> Tensor:
        """The messages [k, d] as they are sent; a new tensor where anything changes."""
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

    def fate(self, number: int, ids: Ids) -> Delivery:
        """What the network does to the messages of all these members."""
        hit = self.concerned("network", number, ids)
        if hit is None:
            return Delivery()
        own = self.fault.network(self.moment(number, ids[hit]))
        spread: dict[str, Any] = {}
        for name in ("lost", "late", "again", "twice"):
            values = getattr(own, name)
            if values is not None:
                spread[name] = np.zeros(len(ids), dtype=values.dtype)
                spread[name][hit] = values
        return Delivery(**spread)
