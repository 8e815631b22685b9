"""How long a run took, over all interruptions: the time of earlier starts is kept beside the records."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from robustfl.evaluation.results.store import write_atomically

FILE = "elapsed.json"
"""The file in the folder of a run that is under way; when the run is complete, its summary holds the time."""

KEPT_EVERY = 1.0
"""Seconds after which the time is written again; a kill loses no more than that and the trials in flight."""


class RunClock:
    """The time that was spent on the records in a folder, in seconds, by this start and by earlier ones.

    A start that plays no trial, since all of them are stored, adds nothing. `now` gives the seconds on a clock that
    never goes back.
    """

    def __init__(self, folder: Path, *, fresh: bool, now: Callable[[], float] = time.perf_counter) -> None:
        self._path, self._now = folder / FILE, now
        self._started = self._kept = now()
        resumed = not fresh and (folder / "records.jsonl").exists()
        self._earlier = _stored(self._path, folder / "summary.json") if resumed else 0.0
        self._played = not resumed
        if fresh and folder.is_dir():
            self._keep(0.0)  # an interruption before the first trial must not bring the old time back

    @property
    def seconds(self) -> float:
        """The time up to now."""
        return self._earlier + (self._now() - self._started if self._played else 0.0)

    def tick(self) -> None:
        """Take note that a trial has ended, so that the time up to now counts, and keep it for a next start."""
        first, self._played = not self._played, True
        if first or not self._path.exists() or self._now() - self._kept >= KEPT_EVERY:
            self._kept = self._now()
            self._keep(self.seconds)

    def _keep(self, seconds: float) -> None:
        write_atomically(self._path, json.dumps({"seconds": round(seconds, 3)}).encode())

    def finish(self) -> None:
        """Remove the file: from now on the summary holds the time."""
        self._path.unlink(missing_ok=True)


def _stored(path: Path, summary: Path) -> float:
    """The time that earlier starts have kept, or that of a complete run; 0 if nothing readable is stored."""
    for file, keys in ((path, ("seconds",)), (summary, ("time", "elapsed_s"))):
        try:
            found = json.loads(file.read_bytes())
            for key in keys:
                found = found[key]
            seconds = float(found)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # the time is no result: a run whose time is lost can still be continued
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return 0.0
