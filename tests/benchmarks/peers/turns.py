"""Processor times that can be compared: everybody takes a turn in every round, on one thread.

Times of the processor leave out what other programs take of a shared machine, but not what these do to its caches; the
turns spread that over everybody. The least time and the median of all rounds are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

SHORTEST = 1e-3
"""Seconds that a turn lasts at least: quicker calls are repeated within it."""
MOST_REPEATS = 200
MOST_ROUNDS = 25
FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """Seconds of one call: the best turn and the middle one."""

    least: float
    middle: float
    rounds: int


def take_turns(calls: Mapping[str, Callable[[], Any]], budget: float) -> dict[str, Times]:
    """Time all calls in turns, for about `budget` seconds, but for three rounds at least."""
    repeats, spent = {}, 0.0
    for name, call in calls.items():
        call()
        once = _seconds(call, 1)
        repeats[name] = max(1, min(MOST_REPEATS, int(SHORTEST / max(once, 1e-9))))
        spent += max(once, SHORTEST)
    return play_rounds(calls, repeats, max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(budget / spent))))


def play_rounds(calls: Mapping[str, Callable[[], Any]], repeats: Mapping[str, int], rounds: int) -> dict[str, Times]:
    """Time all calls in turns, each so many times within its turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(_seconds(call, repeats[name]))
    return {name: Times(min(times), median(times), rounds) for name, times in found.items()}


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats
