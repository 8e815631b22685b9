"""What a run of the benchmark leaves behind, as data: the table and the plot are made from this alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.grid import Cell


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One rule in one cell on one device, or why it was left out.

    Attributes
    ----------
    rule, label, family : names of the subject
    seconds : the best round; None when `left_out` says why
    references : the best round of each reference, taken in turns with the rule
    operations, traffic : least arithmetic or comparisons, and least bytes moved, of any rule of this kind; None for a
        kind that the model does not know
    extra_memory : peak bytes beside the input, or None where not measured
    """

    rule: str
    label: str
    family: str
    n: int
    d: int
    device: str = "cpu"
    seconds: float | None = None
    rounds: int = 0
    references: dict[str, float] = field(default_factory=dict)
    operations: float | None = None
    traffic: float | None = None
    extra_memory: int | None = None
    left_out: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.n, self.d)

    def times(self, reference: str) -> float | None:
        """How many times the reference's time the rule takes; None when one of both was not measured."""
        if self.seconds is None or reference not in self.references:
            return None
        return self.seconds / self.references[reference]

    def faster_than(self, reference: str) -> float | None:
        """How many times faster than the reference the rule is."""
        times = self.times(reference)
        return None if times is None else 1 / times

    @property
    def memory_share(self) -> float | None:
        """Extra memory as a share of the input."""
        return None if self.extra_memory is None else self.extra_memory / self.cell.input_bytes


@dataclass(frozen=True, kw_only=True)
class Roofs:
    """What the device can do at best, measured in the same run: bytes/s and operations/s."""

    device: str
    column_mean: float
    copy: float
    gemm32: float
    gemm64: float

    def or_better(self, later: Roofs) -> Roofs:
        """The better of two measurements of one device, figure by figure: a busy machine only lowers them."""
        best = {name: max(value, getattr(later, name)) for name, value in asdict(self).items() if name != "device"}
        return Roofs(device=self.device, **best)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A rule on a matrix in a file that is mapped into memory, in a process of its own."""

    rule: str
    n: int
    d: int
    seconds: float
    peak_bytes: int

    @property
    def file_bytes(self) -> int:
        return Cell(self.n, self.d).input_bytes


@dataclass
class Run:
    """Everything that one run measured."""

    grid: str
    machine: dict[str, str] = field(default_factory=dict)
    roofs: list[Roofs] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    mapped: list[Mapped] = field(default_factory=list)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Run:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Run(
            grid=found["grid"],
            machine=found["machine"],
            roofs=[Roofs(**item) for item in found["roofs"]],
            measurements=[Measurement(**item) for item in found["measurements"]],
            mapped=[Mapped(**item) for item in found["mapped"]],
        )
