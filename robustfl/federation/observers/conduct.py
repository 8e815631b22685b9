"""Watches how a defense behaves while it works: an evaluation is worth nothing when the defense cheats.

In every call: whether it changes the messages that it is given, and whether its answer follows a global random
generator, so that results depend on whatever else runs. In a few rounds of every simulation it is also asked twice, and
once with the clients' names exchanged: two answers to one question are randomness of its own, which an attacker can
average away and which repeats in no other run, and an answer that follows names before there is any history knows who
is who.
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
"""Sums in another order may differ by this much, in units of the largest number."""
_SEEDS = (1_000_003, 7_368_787)
_ATTEMPTS = 3
"""How often a suspicion is examined: another thread may draw in between, and spoil an attempt."""


class Asked(Protocol):
    """What the watch needs of a channel."""

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        """The answer of a receiver's defense; a preview has no effect on its state."""

    def vector(self, answer: Aggregation) -> Tensor:
        """The answer as one vector."""


class Conduct(Observer):
    """The defenses of a simulation of `rounds` rounds under observation, in every channel.

    `seen` holds what was observed, once each, in the order in which it was.
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

        Raises InfeasibleError as the defense does.
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
        """Ask twice, and once more under other names where names can mean nothing yet."""
        names, defense = receiver.names, receiver.defense
        fresh = not defense.stateful or not _holds(defense.state_dict())
        others = [names[1:] + names[:1]] if fresh else []
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
        """Whether the answer follows a generator that has moved: the same under one seed, another under another seed.

        That the generator has moved says little by itself, since another thread may have drawn from it.
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
        except InfeasibleError:  # what it has just learnt may leave it with too few rows
            return False
        finally:
            generator.restore(kept)

    def _previewed(self, receiver: Receiver, rows: Tensor, names: list[Hashable]) -> Tensor:
        """The answer to a copy of the rows: what a careless defense does to them must not reach the round itself."""
        return self._channel.vector(self._channel.ask(receiver, rows.clone(), names, preview=True))

    def _note(self, what: str) -> None:
        if what not in self.seen:
            self.seen.append(what)


def _holds(state: dict[str, Any]) -> bool:
    """Whether there is anything in a state, which of a pipeline is that of its parts."""
    return any(_holds(value) if isinstance(value, dict) else True for value in state.values())


def _sample(rows: Tensor) -> Tensor:
    """Some columns of every row, as bits: NaN is not equal to itself."""
    step = max(1, rows.shape[1] // 64)
    return rows[:, ::step].contiguous().view(torch.uint8).clone()


class _Generator(NamedTuple):
    """A global generator: where it stands, how to seed it, and how to bring it back to where it stood."""

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


# A Mersenne twister stands at a place in a block of words; the first word of the block tells the blocks apart.
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
