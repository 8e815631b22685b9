"""How much time each phase of a trial takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of each phase; it waits for the accelerator between phases, so that they are not mixed."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._start = self._now()
        self.phases: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to the phase `name`."""
        start = self._now()
        try:
            yield
        finally:
            self.phases[name] += self._now() - start

    def seconds(self) -> dict[str, float]:
        """The seconds of each phase, with the sum of all time as `total_s` and the time of no phase as `other_s`."""
        total = self._now() - self._start
        named = {f"{name}_s": value for name, value in sorted(self.phases.items())}
        return {"total_s": total, **named, "other_s": max(0.0, total - sum(self.phases.values()))}

    def _now(self) -> float:
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        return time.perf_counter()
