"""Watches how a defense behaves while it works: an evaluation is worth nothing when the defense cheats.

In every call: whether it changes the updates that it is given, and whether it draws from a global random generator,
which makes results depend on whatever else runs. In a few rounds of every simulation it is also asked twice, and once
with the clients' names exchanged: two answers to one question are randomness of its own, which an attacker can average
away and which repeats in no other run, and an answer that follows names before there is any history knows who is who.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.errors import InfeasibleError

if TYPE_CHECKING:
    from torch import Tensor

CHANGES = "changes the updates that it is given"
DRAWS = "draws from the global random generator of {}"
VARIES = "gives two answers to one question"
NAMES = "answers differently when clients exchange their names, before it has met them"

_CLOSE = 1e-6
"""Sums in another order may differ by this much, in units of the largest number."""


class Conduct:
    """A defense under observation, for one simulation of `rounds` rounds.

    `seen` holds what was observed, once each, in the order in which it was.
    """

    def __init__(self, defense: Aggregator, rounds: int) -> None:
        self._defense = defense
        self._asked_again = {0, rounds // 2, rounds - 1}
        self.seen: list[str] = []

    def aggregate(self, messages: Tensor, names: list[Hashable], trusted: Tensor | None, number: int) -> Aggregation:
        """The defense's answer in round `number`.

        Raises InfeasibleError as the defense does.
        """
        if number in self._asked_again:
            self._question(messages, names, trusted)
        before, states = _sample(messages), _generators()
        answer = self._defense.aggregate(messages, ids=names, trusted=trusted)
        for name, state in _generators().items():
            if state != states[name]:
                self._note(DRAWS.format(name))
        if not torch.equal(before, _sample(messages)):
            self._note(CHANGES)
        return answer

    def report(self) -> dict[str, list[str]]:
        """What the trace tells: `conduct`, the misbehaviour that was seen, where there was any."""
        return {"conduct": list(self.seen)} if self.seen else {}

    def _question(self, messages: Tensor, names: list[Hashable], trusted: Tensor | None) -> None:
        """Ask twice, and once more under other names where names can mean nothing yet."""
        nameless = "names" not in self._defense.unclaimed
        fresh = nameless and (not self._defense.stateful or not _holds(self._defense.state_dict()))
        others = [names[1:] + names[:1]] if fresh else []
        found = []
        for ids in [names, names, *others]:
            rows = messages.clone()  # what a careless defense does to them must not reach the round itself
            try:
                found.append(self._defense.preview(rows, ids=ids, trusted=trusted).value)
            except InfeasibleError:
                return
        first, again, *renamed = found
        if not torch.equal(first, again):
            self._note(VARIES)
            return
        for other in renamed:
            if not bool(((other - first).abs() <= _CLOSE * first.abs().max()).all()):
                self._note(NAMES)

    def _note(self, what: str) -> None:
        if what not in self.seen:
            self.seen.append(what)


def _holds(state: dict[str, Any]) -> bool:
    """Whether there is anything in a state, which of a pipeline is that of its parts."""
    return any(_holds(value) if isinstance(value, dict) else True for value in state.values())


def _sample(messages: Tensor) -> Tensor:
    """Some columns of every row, as bits: NaN is not equal to itself."""
    step = max(1, messages.shape[1] // 64)
    return messages[:, ::step].contiguous().view(torch.uint8).clone()


def _generators() -> dict[str, Any]:
    """Where the global generators stand: Mersenne twisters by their place in a block of words and one of the words."""
    words, numpy = random.getstate()[1], np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return {
        "Python": (words[-1], words[0]),
        "numpy": (numpy["pos"], numpy["key"][0]),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
