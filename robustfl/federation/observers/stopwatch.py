"""How much time each phase of a trial takes."""

from __future__ import annotations

import time
from collections import defaultdict

import torch


class Stopwatch:
    """Adds up the seconds of each phase; it waits for the accelerator between phases, so that they are not mixed."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._start = self.now()
        self.phases: dict[str, float] = defaultdict(float)

    def phase(self, name: str) -> Phase:
        """Add the time of the block to the phase `name`."""
        return Phase(self, name)

    def seconds(self) -> dict[str, float]:
        """The seconds of each phase, with the sum of all time as `total_s` and the time of no phase as `other_s`."""
        total = self.now() - self._start
        named = {f"{name}_s": value for name, value in sorted(self.phases.items())}
        return {"total_s": total, **named, "other_s": max(0.0, total - sum(self.phases.values()))}

    def now(self) -> float:
        """The time in seconds, once the accelerator has done what it was asked for."""
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        return time.perf_counter()


class Phase:
    """A block whose time counts for a phase, also when it raises; a generator would take three times as long."""

    __slots__ = ("_name", "_start", "_watch")

    def __init__(self, watch: Stopwatch, name: str) -> None:
        self._watch, self._name = watch, name

    def __enter__(self) -> None:
        self._start = self._watch.now()

    def __exit__(self, *error: object) -> None:
        self._watch.phases[self._name] += self._watch.now() - self._start
