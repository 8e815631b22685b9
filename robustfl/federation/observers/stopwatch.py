"""Where the time of a trial goes, by phase."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up seconds by phase; waits for the accelerator at each boundary, so that phases are not mixed up."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._start = self._now()
        self.phases: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block towards `name`."""
        start = self._now()
        try:
            yield
        finally:
            self.phases[name] += self._now() - start

    def seconds(self) -> dict[str, float]:
        """Seconds by phase, with `total_s` and the rest as `other_s`."""
        total = self._now() - self._start
        named = {f"{name}_s": value for name, value in sorted(self.phases.items())}
        return {"total_s": total, **named, "other_s": max(0.0, total - sum(self.phases.values()))}

    def _now(self) -> float:
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        return time.perf_counter()
