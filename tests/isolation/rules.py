"""Rules that do something besides averaging; other processes import this module, so it imports little itself."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from robustfl.aggregation import Aggregator, Outcome, Rows


@dataclass(frozen=True, kw_only=True)
class Importing(Aggregator):
    """A rule whose memory is a module."""

    module: str

    def _aggregate(self, rows: Rows) -> Outcome:
        share = np.full(rows.n, 1.0 / rows.n)
        return Outcome(rows.combine(share), share, info={"known": __import__(self.module).KNOWN})


@dataclass(frozen=True, kw_only=True)
class Doing(Aggregator):
    """A rule that does something besides averaging: what the first name says."""

    def _aggregate(self, rows: Rows) -> Outcome:
        share = np.full(rows.n, 1.0 / rows.n)
        return Outcome(rows.combine(share), share, info=DEEDS[str(rows.source.ids[0])]() or {})


class Bomb:
    """What would run code where it is read."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


def _endless() -> None:
    os.kill(os.getpid(), 9)


def _load() -> None:
    import ctypes

    ctypes.CDLL(None)


def _seen() -> dict[str, Any]:
    import gc

    frames: list[str] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        frames.append(frame.f_code.co_filename)
        frame = frame.f_back
    names = sorted(name for name in sys.modules if name.startswith(("robustfl.federation", "robustfl.evaluation")))
    kinds = sorted({type(thing).__name__ for thing in gc.get_objects()} & {"Simulation", "Population", "Receiver"})
    return {"frames": frames, "modules": names, "kinds": kinds, "environment": dict(os.environ), "folder": os.getcwd()}


DEEDS: dict[str, Any] = {
    "looks around": _seen,
    "sends code": lambda: {"bomb": Bomb()},
    "fails": lambda: 1 / 0,
    "is killed": _endless,
    "exits": lambda: sys.exit(3),
    "writes": lambda: Path(sys.prefix, "robustfl-was-here").write_text("x"),
    "writes at home": lambda: {"said": str(Path("note").write_text("x"))},
    "reads data": lambda: Path("/etc/hostname").read_bytes(),
    "lists": lambda: {"said": str(os.listdir("/"))},
    "starts a process": lambda: os.system("true"),
    "talks": lambda: __import__("socket").socket(),
    "loads a library": _load,
    "maps memory": lambda: __import__("mmap").mmap(-1, 16),
}
