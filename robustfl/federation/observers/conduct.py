"""Watches how a defense behaves while it works: an evaluation is worth nothing when the defense cheats.

Every call is checked for two things: whether the defense changes the messages that it is given, and whether its answer
follows a global random generator, which would make results depend on everything else that runs.

In a few rounds of every simulation the defense is also asked twice, once with the rows in another order, and once with
the clients' names exchanged. Two different answers to one question show that it uses randomness of its own, which an
attacker can average away and which no other run repeats. An answer that changes with the order of the rows shows that
it goes by their places, which the network decides. An answer that changes with the names before there is any history
shows that it knows who is who.

A trial that is played again may have a twin: a second copy of the defense, elsewhere, that gets the rows of every round
in another order and under other names. A defense that takes from places and names more than who is the same client as
before cannot answer as its twin does.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from robustfl.aggregation import Aggregation
from robustfl.errors import InfeasibleError
from robustfl.federation.anonymity import AGAIN, Pseudonyms, row_order
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

CHANGES = "changes the updates that it is given"
DRAWS = "draws from the global random generator of {}"
VARIES = "gives two answers to one question"
ORDER = "answers differently when the same clients come in another order"
TWIN = "answers differently from a copy that got the same rows in other orders and under other names, from the start"
NAMES = "answers differently when clients exchange their names, before it has met them"

_CLOSE = 1e-6
"""Sums in another order may differ by this share of the largest number."""
_TWIN_CLOSE, _TWIN_APART = 1e-4, 0.1
"""A twin differs when its answer does, by more than this share of the largest number, in this share of the rounds. With
a memory, differences by rounding may grow, and near ties are settled in the one way or the other."""
_NUDGES, _NUDGE = 3, 1e-3
"""How often rows are moved to break ties, and by which share of their spread."""
_SEEDS = (1_000_003, 7_368_787)
_ATTEMPTS = 3
"""How often a suspicion is examined: another thread may draw numbers in between and spoil an attempt."""


class Asked(Protocol):
    """The part of a channel that the watch needs."""

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        """The answer of a receiver's defense; a preview has no effect on its state."""

    def vector(self, answer: Aggregation) -> Tensor:
        """The answer as one vector."""

    def admissible(self, rows: Tensor) -> Tensor:
        """The messages that are nearest to these rows."""


class Conduct(Observer):
    """Watches the defenses of a simulation of `rounds` rounds, in every channel.

    `seen` holds each observation once, in the order in which they were made.

    Parameters
    ----------
    channel : asks the defenses
    rounds : the number of rounds
    twin : the defense of the receiver "server" once more, in its first state
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("conduct", "misbehaviour of the defense that was seen", form="texts"),
    )

    def __init__(self, channel: Asked, rounds: int, twin: Any = None) -> None:
        self._channel, self._twin = channel, twin
        self._twin_names, self._apart, self._compared = Pseudonyms(0, "names for a twin"), 0, 0
        self._asked_again = {0, rounds // 2, rounds - 1}
        self._places: dict[str, Any] = {}  # of the global generators after the last answer
        self._restless: set[str] = set()  # the generators from which somebody else draws as well
        self.seen: list[str] = []

    def ask(self, receiver: Receiver, round: Round) -> Aggregation:
        """The defense's answer to the messages that have reached a receiver.

        Raises InfeasibleError when the defense does.
        """
        rows = receiver.arrived
        if round.number in self._asked_again:
            self._question(receiver, round, rows)
        before = _sample(rows)
        for name, generator in _GENERATORS.items():
            if name not in self._places or name in self._restless:
                self._places[name] = generator.place()
        answer = self._channel.ask(receiver, rows, receiver.names)
        for name, generator in _GENERATORS.items():
            if DRAWS.format(name) not in self.seen and generator.place() != self._places[name]:
                self._examine(name, receiver, rows)
        if before != _sample(rows):
            self.note(CHANGES)
        if self._twin is not None and receiver.who == "server":
            self._compare(receiver, round, rows, answer)
        return answer

    def report(self, trace: Trace) -> None:
        if self._apart > max(1.0, _TWIN_APART * self._compared):
            self.note(TWIN)
        if self.seen:
            self.tell(trace, conduct=list(self.seen))

    def _question(self, receiver: Receiver, round: Round, rows: Tensor) -> None:
        """Ask the defense twice, in another order, and under other names if names cannot mean anything yet."""
        names, defense = receiver.names, receiver.defense
        fresh = not defense.stateful or not holds(defense.state_dict())
        others = [_renamed(names, keep_order="names" in defense.unclaimed)] if fresh else []
        try:
            first, again, *renamed = (self._previewed(receiver, rows, ids) for ids in [names, names, *others])
        except InfeasibleError:
            return
        if not torch.equal(first, again):
            self.note(VARIES)
            return
        if not all(_close(other, first) for other in renamed):
            self.note(NAMES)
        order = row_order(0, round.number, receiver.who, len(names), AGAIN)
        if ORDER not in self.seen and not self._same_in(order, receiver, rows, again):
            self.note(ORDER)

    def _same_in(self, order: Ids, receiver: Receiver, rows: Tensor, answer: Tensor) -> bool:
        """Whether the same rows, each with its name, get the same `answer` in another order.

        A rule that picks rows may pick another one of two equally good rows. A difference therefore counts only if it
        remains when the rows are moved a little.
        """
        places = torch.as_tensor(order, device=rows.device)
        names = [receiver.names[place] for place in order.tolist()]
        nudged = map(self._channel.admissible, _nudged(rows)) if rows.is_floating_point() else ()
        for attempt in chain([rows], nudged):
            try:
                first = answer if attempt is rows else self._previewed(receiver, attempt, receiver.names)
                other = self._previewed(receiver, attempt[places], names)
            except InfeasibleError:  # rows that were moved may be too few for a rule with a threshold
                return True
            if _close(other, first):
                return True
        return False

    def _compare(self, receiver: Receiver, round: Round, rows: Tensor, answer: Aggregation) -> None:
        """Ask the twin about the rows of a round, in another order and under other names."""
        order = row_order(0, round.number, receiver.who, len(receiver.names), "order for a twin")
        names = [receiver.names[place] for place in order.tolist()]
        if "names" not in receiver.defense.unclaimed:
            names = self._twin_names.of([name for name in names if isinstance(name, int)])
        places = torch.as_tensor(order, device=rows.device)
        try:
            other = self._channel.ask(replace(receiver, defense=self._twin), rows[places], names)
        except InfeasibleError:
            self._apart += 1
        else:
            self._apart += not _close(self._channel.vector(other), self._channel.vector(answer), _TWIN_CLOSE)
        self._compared += 1

    def _examine(self, name: str, receiver: Receiver, rows: Tensor) -> None:
        """Find out whether the defense has moved a generator: since its last answer others may have done so.

        To read the places of generators takes as long as a small rule, so they are read twice in a round only where
        they have moved and the defense was innocent.
        """
        if self._follows(name, receiver, rows):
            self.note(DRAWS.format(name))
        self._restless.add(name)

    def _follows(self, name: str, receiver: Receiver, rows: Tensor) -> bool:
        """Whether the answer follows a global generator; what the defense has just learnt may leave it with none."""
        try:
            return follows(name, lambda: self._previewed(receiver, rows, receiver.names), torch.equal)
        except InfeasibleError:
            return False

    def _previewed(self, receiver: Receiver, rows: Tensor, names: list[Hashable]) -> Tensor:
        """The answer to a copy of the rows, so that a careless defense cannot change the rows of the round."""
        return self._channel.vector(self._channel.ask(receiver, rows.clone(), names, preview=True))

    def note(self, what: str) -> None:
        """Keep what was seen, once."""
        if what not in self.seen:
            self.seen.append(what)


def _close(found: Tensor, expected: Tensor, tolerance: float = _CLOSE) -> bool:
    """Whether two answers differ by no more than rounding."""
    if found.shape != expected.shape:
        return False
    return bool(((found - expected).abs() <= tolerance * expected.abs().max()).all())


def _nudged(rows: Tensor) -> Iterator[Tensor]:
    """Copies of the rows in which finite entries are moved at random, by up to a thousandth of their spread."""
    finite = rows.isfinite()
    spread = rows.where(finite, 0.0).std().clamp(min=1e-30) if rows.numel() > 1 else rows.new_tensor(1.0)
    for number in range(_NUDGES):
        moves = np.random.default_rng(number).uniform(-1.0, 1.0, size=tuple(rows.shape))
        yield rows + _NUDGE * spread * rows.new_tensor(moves)


def _renamed(names: list[Hashable], *, keep_order: bool) -> list[Hashable]:
    """The exchanged names, or, for a rule whose answer may depend on their order, other names in the same order."""
    if not keep_order:
        return names[1:] + names[:1]
    numbers = [name for name in names if isinstance(name, int)]
    shift = 1 + max(numbers, default=0) - min(numbers, default=0)
    return [name + shift if isinstance(name, int) else name for name in names]


def holds(state: dict[str, Any]) -> bool:
    """Whether a state holds anything; the state of a pipeline consists of the states of its parts."""
    return any(holds(value) if isinstance(value, dict) else True for value in state.values())


def _sample(rows: Tensor) -> bytes:
    """Some columns of every row, as bits, because NaN is not equal to itself."""
    step = max(1, rows.shape[1] // 64)
    if rows.device.type != "cpu" or rows.dtype is torch.bfloat16:  # numpy has no such numbers
        return rows.detach()[:, ::step].cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return rows.detach().numpy()[:, ::step].tobytes()


def generators_moved(call: Callable[[], T]) -> tuple[T, list[str]]:
    """The answer of a call, and the global generators that have moved meanwhile."""
    places = {name: generator.place() for name, generator in _GENERATORS.items()}
    answer = call()
    return answer, [name for name, generator in _GENERATORS.items() if generator.place() != places[name]]


def follows(name: str, ask: Callable[[], T], same: Callable[[T, T], bool]) -> bool:
    """Whether an answer follows a global generator: it is the same under one seed and differs under another seed.

    A generator that has moved does not prove this, since another thread may have drawn from it.
    """
    generator = _GENERATORS[name]
    kept = generator.save()
    try:
        for _ in range(_ATTEMPTS):
            answers = []
            for seed in (_SEEDS[0], _SEEDS[0], _SEEDS[1]):
                generator.seed(seed)
                answers.append(ask())
            first, again, other = answers
            if same(first, again) and not same(first, other):
                return True
        return False
    finally:
        generator.restore(kept)


class _Generator(NamedTuple):
    """A global generator: its position, how to seed it, and how to restore an earlier position."""

    place: Callable[[], Any]
    seed: Callable[[int], Any]
    save: Callable[[], Any]
    restore: Callable[[Any], Any]


_TWISTER = 624
"""The words of a Mersenne twister; its place in them stands beside them."""


class _PythonPlace:
    """The place of Python's global generator, read where it lies: Python itself makes a number of each of its words."""

    def __init__(self) -> None:
        # CPython keeps the place and then the words behind the head of the object; elsewhere it is asked.
        head = object.__basicsize__
        if type(random._inst).__basicsize__ >= head + 4 * (_TWISTER + 1):
            words = (ctypes.c_uint32 * (_TWISTER + 1)).from_address(id(random._inst) + head)
            state = random.getstate()[1]
            self._words = words if [*words] == [state[-1], *state[:-1]] else None
        else:
            self._words = None

    def __call__(self) -> Any:
        if self._words is None:
            state = random.getstate()[1]
            return state[-1], state[0]
        return self._words[0], self._words[1]


class _NumpyPlace:
    """The place of numpy's global generator, read where it lies: numpy itself copies all of its words one by one."""

    def __init__(self) -> None:
        self._watched: Any = None
        self._words: Any = None

    def __call__(self) -> Any:
        generator = np.random.get_bit_generator()  # type: ignore[attr-defined]  # the stubs do not know it
        if generator is not self._watched:
            self._watched, self._words = generator, _words_of(generator)
        if self._words is None:
            return _told(generator)
        return self._words[_TWISTER], self._words[0]


def _words_of(generator: Any) -> Any:
    """The memory of a generator; None where it does not hold what the generator says of itself."""
    if type(generator) is not np.random.MT19937:
        return None
    words = (ctypes.c_uint32 * (_TWISTER + 1)).from_address(generator.ctypes.state_address)
    state = generator.state["state"]
    return words if [*words] == [*state["key"].tolist(), state["pos"]] else None


def _told(generator: Any) -> Any:
    """The place of a generator of any kind, in its own words."""
    return repr(generator.state)


# The position of a Mersenne twister is a place in a block of words; the first word of the block identifies the block.
_GENERATORS = {
    "Python": _Generator(_PythonPlace(), random.seed, random.getstate, random.setstate),
    "numpy": _Generator(
        _NumpyPlace(),
        np.random.seed,
        lambda: np.random.get_state(legacy=False),  # noqa: NPY002
        np.random.set_state,
    ),
    "torch": _Generator(
        lambda: torch.get_rng_state().numpy().tobytes(),
        lambda seed: torch.default_generator.manual_seed(seed),
        torch.get_rng_state,
        torch.set_rng_state,
    ),
}
