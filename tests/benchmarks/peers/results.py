"""What a run beside other libraries found, as data: the page and the plot are made from this alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.libraries import Found
from tests.benchmarks.peers.turns import Times


@dataclass(frozen=True)
class Beside:
    """One library at one thing: its times, and whether its answer is ours.

    Attributes
    ----------
    differs : in what its definition differs; empty where it is the same
    deviation : the largest difference between the answers, as a share of the largest value of ours; None where the
        definitions differ or the library failed
    failed : the error that it raised
    """

    times: Times | None = None
    differs: str = ""
    deviation: float | None = None
    failed: str = ""


@dataclass(frozen=True)
class Compared:
    """One thing that was done, at one size, by us and by others."""

    what: str
    size: str
    ours: Times
    others: dict[str, Beside]
    note: str = ""

    def ratio(self, library: str, measure: str = "middle") -> float | None:
        """How many times as long the other library took; below 1 it was faster."""
        beside = self.others.get(library)
        if beside is None or beside.times is None:
            return None
        return float(getattr(beside.times, measure) / getattr(self.ours, measure))


TOLERANCE = 1e-4
"""Largest deviation between float32 answers of one definition that counts as equal."""


@dataclass
class Run:
    """Everything that one run found."""

    sizes: str
    machine: dict[str, str]
    libraries: list[Found]
    rules: list[Compared] = field(default_factory=list)
    worlds: list[Compared] = field(default_factory=list)

    def unequal(self) -> list[tuple[Compared, str, float]]:
        """Answers of one definition that are not equal."""
        return [
            (row, name, beside.deviation)
            for row in [*self.rules, *self.worlds]
            for name, beside in row.others.items()
            if beside.deviation is not None and not beside.deviation <= TOLERANCE
        ]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Run:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        libraries = [Found(**item) for item in found["libraries"]]
        rules, worlds = ([_row(row) for row in found[key]] for key in ("rules", "worlds"))
        return Run(found["sizes"], found["machine"], libraries, rules, worlds)


def _row(found: dict[str, Any]) -> Compared:
    others = {
        name: Beside(**{**beside, "times": None if beside["times"] is None else Times(**beside["times"])})
        for name, beside in found["others"].items()
    }
    return Compared(found["what"], found["size"], Times(**found["ours"]), others, found["note"])
