"""Times that can be compared: reference and subject take turns, and the best round of each counts.

Other programs slow a machine down for seconds at a time. A reference measured before or after the subject would meet
another machine; measured in turns, both meet quiet and busy moments alike.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MOST_ROUNDS = 30
PEER_ROUNDS = 2
"""Rounds in which the slow references take part: they need seconds where the subject needs milliseconds."""
PEER_LIMIT = 5.0
"""Seconds after which a slow reference gets no second turn."""
PEER_QUICK = 0.01
"""Seconds within which such a reference takes part in every round: the best of two calls so short is mostly luck."""


Clock = Callable[[], float]
"""Reads a clock, in seconds."""


def seconds(
    call: Callable[[], Any], synchronise: Callable[[], Any] | None = None, clock: Clock = time.perf_counter
) -> float:
    """The time of one call, with all the work that it started on an accelerator."""
    if synchronise is not None:
        synchronise()
    start = clock()
    call()
    if synchronise is not None:
        synchronise()
    return clock() - start


def rounds_for(budget: float, subject: float, reference: float, limit: float) -> int:
    """How many rounds fit into `budget` seconds: two at least, but one for a subject slower than `limit`."""
    if subject > limit:
        return 1
    return max(2, min(MOST_ROUNDS, int(budget / max(subject + reference, 1e-9))))


class Turns:
    """Called before every round of the subject: gives each reference its turn and keeps the best time of each.

    Parameters
    ----------
    always : references of every round
    seldom : references of the first :data:`PEER_ROUNDS` rounds only, of the first alone beyond :data:`PEER_LIMIT`, and
        of all rounds below :data:`PEER_QUICK`
    """

    def __init__(
        self,
        always: Mapping[str, Callable[[], Any]],
        seldom: Mapping[str, Callable[[], Any]],
        synchronise: Callable[[], Any] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._always, self._seldom, self._synchronise, self._clock = dict(always), dict(seldom), synchronise, clock
        self._rounds = 0
        self.best: dict[str, float] = {}

    def __call__(self) -> None:
        due = dict(self._always)
        limit = PEER_LIMIT if self._rounds < PEER_ROUNDS else PEER_QUICK
        due |= {name: call for name, call in self._seldom.items() if self.best.get(name, 0.0) <= limit}
        for name, call in due.items():
            self.best[name] = min(self.best.get(name, math.inf), seconds(call, self._synchronise, self._clock))
        self._rounds += 1


class TimeLimit(Exception):
    """A call that was stopped because it took too long."""


@contextmanager
def time_limit(limit: float) -> Iterator[None]:
    """Stop what runs inside after `limit` seconds with :class:`TimeLimit`.

    Needs a signal, so it limits nothing on systems without `SIGALRM` and outside the main thread.
    """
    usable = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if not usable:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TimeLimit(f"Stopped after {limit:g} seconds.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
