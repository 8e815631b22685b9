"""Watches how a defense behaves while it works: an evaluation is worth nothing when the defense cheats.

Every call is checked for two things: whether the defense changes the messages that it is given, and whether its answer
follows a global random generator, which would make results depend on everything else that runs.

In a few rounds of every simulation the defense is also asked twice, and once with the clients' names exchanged. Two
different answers to one question show that it uses randomness of its own, which an attacker can average away and which
no other run repeats. An answer that changes with the names before there is any history shows that it knows who is who.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch

from robustfl.aggregation import Aggregation
from robustfl.errors import InfeasibleError
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Receiver, Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

CHANGES = "changes the updates that it is given"
DRAWS = "draws from the global random generator of {}"
VARIES = "gives two answers to one question"
NAMES = "answers differently when clients exchange their names, before it has met them"

_CLOSE = 1e-6
"""Sums in another order may differ by this share of the largest number."""
_SEEDS = (1_000_003, 7_368_787)
_ATTEMPTS = 3
"""How often a suspicion is examined: another thread may draw numbers in between and spoil an attempt."""


class Asked(Protocol):
    """The part of a channel that the watch needs."""

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        """The answer of a receiver's defense; a preview has no effect on its state."""

    def vector(self, answer: Aggregation) -> Tensor:
        """The answer as one vector."""


class Conduct(Observer):
    """Watches the defenses of a simulation of `rounds` rounds, in every channel.

    `seen` holds each observation once, in the order in which they were made.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("conduct", "misbehaviour of the defense that was seen", form="texts"),
    )

    def __init__(self, channel: Asked, rounds: int) -> None:
        self._channel = channel
        self._asked_again = {0, rounds // 2, rounds - 1}
        self.seen: list[str] = []

    def ask(self, receiver: Receiver, round: Round) -> Aggregation:
        """The defense's answer to the messages that have reached a receiver.

        Raises InfeasibleError when the defense does.
        """
        rows = receiver.arrived
        if round.number in self._asked_again:
            self._question(receiver, rows)
        before, places = _sample(rows), {name: generator.place() for name, generator in _GENERATORS.items()}
        answer = self._channel.ask(receiver, rows, receiver.names)
        for name, generator in _GENERATORS.items():
            known = DRAWS.format(name) in self.seen
            if not known and generator.place() != places[name] and self._follows(generator, receiver, rows):
                self._note(DRAWS.format(name))
        if not torch.equal(before, _sample(rows)):
            self._note(CHANGES)
        return answer

    def report(self, trace: Trace) -> None:
        if self.seen:
            self.tell(trace, conduct=list(self.seen))

    def _question(self, receiver: Receiver, rows: Tensor) -> None:
        """Ask the defense twice, and once more under other names if names cannot mean anything yet."""
        names, defense = receiver.names, receiver.defense
        fresh = not defense.stateful or not _holds(defense.state_dict())
        others = [_renamed(names, keep_order="names" in defense.unclaimed)] if fresh else []
        try:
            first, again, *renamed = (self._previewed(receiver, rows, ids) for ids in [names, names, *others])
        except InfeasibleError:
            return
        if not torch.equal(first, again):
            self._note(VARIES)
            return
        for other in renamed:
            if not bool(((other - first).abs() <= _CLOSE * first.abs().max()).all()):
                self._note(NAMES)

    def _follows(self, generator: _Generator, receiver: Receiver, rows: Tensor) -> bool:
        """Whether the answer follows a generator: it is the same under one seed and differs under another seed.

        A generator that has moved does not prove this, since another thread may have drawn from it.
        """
        kept = generator.save()
        try:
            for _ in range(_ATTEMPTS):
                answers = []
                for seed in (_SEEDS[0], _SEEDS[0], _SEEDS[1]):
                    generator.seed(seed)
                    answers.append(self._previewed(receiver, rows, receiver.names))
                first, again, other = answers
                if torch.equal(first, again) and not torch.equal(first, other):
                    return True
            return False
        except InfeasibleError:  # what the defense has just learnt may leave it with too few rows
            return False
        finally:
            generator.restore(kept)

    def _previewed(self, receiver: Receiver, rows: Tensor, names: list[Hashable]) -> Tensor:
        """The answer to a copy of the rows, so that a careless defense cannot change the rows of the round."""
        return self._channel.vector(self._channel.ask(receiver, rows.clone(), names, preview=True))

    def _note(self, what: str) -> None:
        if what not in self.seen:
            self.seen.append(what)


def _renamed(names: list[Hashable], *, keep_order: bool) -> list[Hashable]:
    """The exchanged names, or, for a rule whose answer may depend on their order, other names in the same order."""
    if not keep_order:
        return names[1:] + names[:1]
    numbers = [name for name in names if isinstance(name, int)]
    shift = 1 + max(numbers, default=0) - min(numbers, default=0)
    return [name + shift if isinstance(name, int) else name for name in names]


def _holds(state: dict[str, Any]) -> bool:
    """Whether a state holds anything; the state of a pipeline consists of the states of its parts."""
    return any(_holds(value) if isinstance(value, dict) else True for value in state.values())


def _sample(rows: Tensor) -> Tensor:
    """Some columns of every row, as bits, because NaN is not equal to itself."""
    step = max(1, rows.shape[1] // 64)
    return rows[:, ::step].contiguous().view(torch.uint8).clone()


class _Generator(NamedTuple):
    """A global generator: its position, how to seed it, and how to restore an earlier position."""

    place: Callable[[], Any]
    seed: Callable[[int], Any]
    save: Callable[[], Any]
    restore: Callable[[Any], Any]


def _python_place() -> Any:
    words = random.getstate()[1]
    return words[-1], words[0]


def _numpy_place() -> Any:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - the global generator is what is watched
    return state["pos"], state["key"][0]


# The position of a Mersenne twister is a place in a block of words; the first word of the block identifies the block.
_GENERATORS = {
    "Python": _Generator(_python_place, random.seed, random.getstate, random.setstate),
    "numpy": _Generator(
        _numpy_place,
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
